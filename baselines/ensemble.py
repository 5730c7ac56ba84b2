"""``python -m baselines.ensemble --method deep --views sz``: cheaper posterior samples, to measure others by.

- deep: K U-Nets that state a sigma, each trained without one of K parts of the regions; a sample is the mean
  of one of them plus its sigma times a random field whose spectrum is that of residuals in units of sigma.
- field: the mean of K such U-Nets without a sigma, plus a Gaussian random field with the spread by radius and
  the power spectrum of their residuals on clusters they have not seen.
- white: mean and sigma of the deep ensemble with noise on single pixels; no map looks like this.
"""

from __future__ import annotations

from baselines.command import command_line
from baselines.posterior_model import METHODS
from baselines.posterior_training import add_options, run
from baselines.settings import Parser


@command_line
def main(args: list[str]) -> None:
    """The command line."""
    parser = Parser(prog="python -m baselines.ensemble", description=__doc__)
    cheap = [method for method in METHODS if method != "flow"]
    parser.add_argument("--method", choices=cheap, default="deep", help="see above [deep]")
    add_options(parser)
    options = vars(parser.parse_args(args))
    run(options.pop("method"), options)


if __name__ == "__main__":
    main()
