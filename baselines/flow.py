"""``python -m baselines.flow --views sz``: posterior samples by flow matching of a mean network's residuals.

Cross-fitted U-Nets give a mean and, on clusters they have not seen, residuals. A flow turns a Gaussian random
field of the residuals' own power spectrum into such residuals, given the views and the mean: a sample has the
texture of a true map. RUN holds the settings, the model, the log of the flow's training, the networks in
member-K, and a submission of samples; ``python -m baselines.predict RUN --samples 16 --data STORE`` draws
others.
"""

from __future__ import annotations

from baselines.command import command_line
from baselines.posterior_training import add_options, run
from baselines.settings import Parser


@command_line
def main(args: list[str]) -> None:
    """The command line."""
    parser = Parser(prog="python -m baselines.flow", description=__doc__)
    parser.add_argument("--flow-steps", type=int, default=1000, help="steps of the flow's training [1000]")
    parser.add_argument("--flow-lr", type=float, default=2e-3, help="its highest learning rate [0.002]")
    parser.add_argument("--heun-steps", type=int, default=4, help="of Heun's method, for a sample [4]")
    add_options(parser)
    run("flow", vars(parser.parse_args(args)))


if __name__ == "__main__":
    main()
