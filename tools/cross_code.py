"""``python -m tools.cross_code --out DIR``: what is learnt from one code's clusters, tried on another's.

Trains on one data set, on its twin of another simulation code, and on both, for each track; predicts the test
split of each; scores all of them, those across codes beside the model at home (``degradation``). A region is
in the same split of both, so that no model meets one it was trained on. ``--results`` gathers the scores as
TEST-TRACK.json (at home) and TEST-from-TRAIN-TRACK.json.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from baselines.command import command_line
from baselines.settings import Parser
from three_hundred_maps.io import write_bytes
from tools.cross_code_page import write_page
from tools.plan import TRACKS
from tools.steps import Step, Work, add_running, add_training, find_twins, run_or_list

MARK = "cross-code.json"
BOTH = "both"


@command_line
def main(args: list[str]) -> None:
    """The command line."""
    parser = Parser(prog="python -m tools.cross_code", description=__doc__)
    parser.add_argument("--data", default="mini", help="a store, or a recipe to build into OUT")
    parser.add_argument("--twin", default="mini-gizmo", help="that of the other code")
    add_training(parser)
    parser.add_argument("--results", type=Path, default=None, help="also gather the scores into this folder")
    add_running(parser)
    options = parser.parse_args(args)
    found = find_twins((options.data, options.twin), options.out, reserved=BOTH)
    stages = make_stages({name: store for name, (store, _) in found.items()}, Work.of(options))
    content = {"data": options.data, "twin": options.twin}
    if not run_or_list(options, stages, found.values(), MARK, content):
        return
    results = sorted((options.out / "results").glob("*.json"))
    for result in results:
        if options.results:
            write_bytes(options.results / result.name, result.read_bytes())
        print((options.results or result.parent) / result.name)
    print(write_page(results, options.page or options.out / "page"))


def make_stages(stores: Mapping[str, Path], work: Work) -> list[list[Step]]:
    """Training, prediction, and scores: at home first, since those across codes are set beside them.

    Parameters
    ----------
    stores
        The two data sets, by name.
    """
    sources = {name: str(store) for name, store in stores.items()}
    sources[BOTH] = "+".join(sources.values())
    training: list[Step] = []
    predicting: list[Step] = []
    home: list[Step] = []
    away: list[Step] = []
    for test, store in stores.items():
        predicting.append(work.fit(f"{test}-climatology", "climatology", store, "--quiet"))
        home.append(work.score(predicting[-1], store))
    for track, views in TRACKS.items():
        for source, data in sources.items():
            run = work.run(f"{source}-{track}")
            training.append(work.train(run, views, data, "--no-submission"))
            title = f"unet trained on {' and '.join(stores) if source == BOTH else source}"
            for test, store in stores.items():
                beside = f"{test}-{track}"
                if source == test:
                    predicting.append(work.predict(beside, run, store, "--task", "mass-map", "--name", title))
                    home.append(work.score(predicting[-1], store))
                else:
                    name = f"{test}-from-{source}-{track}"
                    predicting.append(work.predict(name, run, store, "--task", "cross-code", "--name", title))
                    away.append(work.score(predicting[-1], store, "--in-domain", str(work.result(beside))))
    return [training, predicting, home, away]


if __name__ == "__main__":
    main()
