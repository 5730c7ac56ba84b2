"""``python -m tools.realism``: maps of stores beside each other, in numbers and in pictures.

``texture STORE...`` prints texture, shape and correlation of the views; ``--page docs/synthetic.md`` keeps
those that have an aim in the page. ``attack STORE...`` asks whether inputs give a halo's size away by their
particles. ``beside SYNTHETIC REAL OUT.png`` draws maps on one scale of colours.
"""

from __future__ import annotations

from pathlib import Path

from baselines.command import command_line
from baselines.settings import Parser
from three_hundred_maps.store.local import find_store
from tools.realism.attack import attack, attack_table
from tools.realism.gallery import draw_beside
from tools.realism.report import keep_texture
from tools.realism.texture import HIGH_MSUN, LOW_MSUN, full_table, store_figures


@command_line
def main(args: list[str]) -> None:
    """The command line."""
    parser = Parser(prog="python -m tools.realism", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    texture = commands.add_parser("texture", help="figures of stores side by side")
    attacked = commands.add_parser("attack", help="rank correlations of what particles show with M200c")
    for command in (texture, attacked):
        command.add_argument("stores", nargs="+", metavar="[LABEL=]STORE", help="names or folders of stores")
    texture.add_argument("--page", type=Path, default=None, help="docs/synthetic.md: keep the table there")
    beside = commands.add_parser("beside", help="a picture of maps of two stores on one scale")
    beside.add_argument("synthetic", help="name or folder of a store")
    beside.add_argument("real", help="name or folder of a store")
    beside.add_argument("out", type=Path, help="picture to write")
    for command in (texture, beside):
        command.add_argument("--min-mass", type=float, default=LOW_MSUN, help="least M200c in Msun")
        command.add_argument("--max-mass", type=float, default=HIGH_MSUN, help="largest M200c in Msun")
    options = parser.parse_args(args)
    if options.command == "beside":
        pair = find_store(options.synthetic), find_store(options.real)
        draw_beside(*pair, options.out, options.min_mass, options.max_mass)
        print(options.out)
        return
    stores = {}
    for given in options.stores:
        label, _, store = given.rpartition("=")
        stores[label or Path(store).stem] = find_store(store)
    if options.command == "attack":
        print(attack_table({label: attack(store) for label, store in stores.items()}))
        return
    figures = {
        label: store_figures(store, options.min_mass, options.max_mass) for label, store in stores.items()
    }
    print(full_table(figures))
    if options.page:
        keep_texture(options.page, figures, {label: attack(store) for label, store in stores.items()})


if __name__ == "__main__":
    main()
