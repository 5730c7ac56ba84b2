"""``python -m tools.transfer --out DIR``: what is learnt on one simulation, tried on others.

Trains U-Nets for each track on one data set and on another of varied physics, and on all views without each
of the measures that make a model hold elsewhere; fits the baselines without a network. All are scored at
home, on another code, on a flavour, a resolution and a redshift that no model was trained on, and on a real
simulation, of which every halo is shown. Models that `tools.cross_code` has trained are taken from there.
``--render`` makes the page again from transfer.json.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from baselines.command import command_line
from baselines.settings import Parser, Settings
from three_hundred_maps.torch_transforms import SCALINGS
from tools.plan import ALL_VIEWS, TRACKS, baseline_name
from tools.steps import Step, Work, add_running, add_training, find_data, rendered, run_or_list
from tools.transfer_page import PAGE, render_again, write_page

MARK = "transfer.json"
WITHOUT = {
    "plain": ("--plain",),
    "no-thinning": ("--no-thin-stars",),
    "no-smoothing": ("--smooth-stars", "0"),
    "no-median": ("--no-median-xray",),
    "no-saturation": ("--no-saturate",),
    "no-calibration-error": ("--calibration-error", "0"),
    "no-dropout": ("--view-dropout", "0"),
}
"""Models of all views that differ from the default by options of training."""
OTHER_SCALINGS = tuple(name for name in SCALINGS if name != Settings.scaling)
"""Tried where the redshift is not 0, with the same networks."""
REFERENCES = (("ridge", ALL_VIEWS), ("profile_regression", ALL_VIEWS), ("profile_regression", "sz"))
HOME, EPOCH, REAL, VARIED = "home", "epoch", "real", "varied"
SHIPPED = "residual-varied"
"""A model of the package, scored beside those trained here where its own training set is given."""
TARGETS = (HOME, "code", "flavour", "resolution", EPOCH, REAL)


@dataclass(frozen=True)
class Model:
    """Something to score: a run that is trained, a shipped model by name, or a baseline fitted anew."""

    name: str
    views: str
    data: Path
    run: Path | str | None = None
    options: tuple[str, ...] = ()
    baseline: str = ""


@command_line
def main(args: list[str]) -> None:
    """The command line."""
    parser = Parser(prog="python -m tools.transfer", description=__doc__)
    parser.add_argument("--data", default="mini", help="what is trained on: a store, or a recipe to build")
    parser.add_argument("--code", default="mini-gizmo", help="the same of another code")
    parser.add_argument("--flavour", default="mini-strong", help="a flavour that no model is trained on")
    parser.add_argument("--resolution", default="mini-coarse", help="of heavier particles")
    parser.add_argument("--epoch", default="mini-z1", help="of another redshift")
    parser.add_argument("--varied", default="mini-hypercube", help="a set of varied physics, to train on")
    parser.add_argument("--shipped", help=f"the set that {SHIPPED} was trained on [it is left out]")
    parser.add_argument("--real", default="docs/recipes/zoom.yaml", help="a real simulation")
    parser.add_argument("--root", type=Path, help="folder of the real simulation's files")
    parser.add_argument("--cross-code", type=Path, help="folder of tools.cross_code, for the models in it")
    add_training(parser)
    add_running(parser, render=PAGE)
    options = parser.parse_args(args)
    if rendered(options, render_again):
        return
    out, data = options.out, {HOME: options.data, VARIED: options.varied}
    data |= {name: getattr(options, name) for name in TARGETS[1:]}
    data |= {SHIPPED: options.shipped} if options.shipped else {}
    found = {
        name: find_data(value, out, folder=name, root=options.root if name == REAL else None)
        for name, value in data.items()
    }
    stores = {name: store for name, (store, _) in found.items()}
    trained = (options.cross_code / "runs" if options.cross_code else None, Path(options.data).stem)
    stages = make_stages(stores, Work.of(options), trained)
    if run_or_list(options, stages, found.values(), MARK, data):
        print(write_page(out, options.page or out / "page", stores, options.steps))


def make_models(
    stores: Mapping[str, Path], work: Work, trained: tuple[Path | None, str] = (None, "")
) -> list[Model]:
    """All that is scored; ``trained`` is a folder of runs of `tools.cross_code`, and their data's name."""
    home, models = stores[HOME], []
    for track, views in TRACKS.items():
        there = trained[0] / f"{trained[1]}-{track}" if trained[0] else work.run(track)
        models.append(Model(track, views, home, there if there.is_dir() else work.run(track)))
    for name, options in WITHOUT.items():
        models.append(Model(name, ALL_VIEWS, home, work.run(name), options))
    for track, views in TRACKS.items():
        name = VARIED if track == "all" else f"{VARIED}-{track}"
        models.append(Model(name, views, stores[VARIED], work.run(name)))
    if SHIPPED in stores:
        models.append(Model(SHIPPED, ALL_VIEWS, stores[SHIPPED], SHIPPED))
    for baseline, views in REFERENCES:
        models.append(Model(baseline_name(baseline, views), views, home, baseline=baseline))
    return models


def make_stages(
    stores: Mapping[str, Path], work: Work, trained: tuple[Path | None, str] = (None, "")
) -> list[list[Step]]:
    """Training, prediction and scores.

    Parameters
    ----------
    stores
        By `TARGETS`, that of varied physics, and by `SHIPPED` where that model is scored.
    trained
        As for `make_models`.
    """
    training: list[Step] = []
    predicting: list[Step] = []
    scoring: list[Step] = []

    def predict(model: Model, target: str, name: str, *more: str) -> None:
        store, split = stores[target], ("--split", "all") if target == REAL else ()
        if model.run is None:
            words = ("--views", model.views, "--predict", str(store), *split, *more, "--quiet")
            predicting.append(work.fit(name, model.baseline, model.data, *words))
        else:
            task = () if target == REAL else ("--task", "mass-map")
            predicting.append(work.predict(name, model.run, store, "--name", name, *task, *split, *more))
        trained_on = ("--trained-on", str(model.data)) if target == REAL else ()
        scoring.append(work.score(predicting[-1], store, *split, *trained_on))

    for model in make_models(stores, work, trained):
        if isinstance(model.run, Path):
            training.append(work.train(model.run, model.views, model.data, "--no-submission", *model.options))
        for target in TARGETS:
            predict(model, target, f"{model.name}-{target}")
        if model.name in TRACKS:
            for scaling, target in product(OTHER_SCALINGS, (EPOCH, REAL)):
                predict(model, target, f"{model.name}-{scaling}-{target}", "--scaling", scaling)
    return [training, predicting, scoring]


if __name__ == "__main__":
    main()
