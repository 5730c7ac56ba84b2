"""``python -m tools.cross_code --out DIR``: what is learnt from one code's clusters, tried on another's.

Trains on one data set, on its twin of another simulation code, and on both, for each track; predicts the test
split of each; scores all of them, those across codes beside the model at home (``degradation``). A region is
in the same split of both, so that no model meets one it was trained on. ``--results`` gathers the scores as
TEST-TRACK.json (at home) and TEST-from-TRAIN-TRACK.json.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from baselines.command import run_command
from baselines.settings import Parser
from three_hundred_maps.errors import InputError
from three_hundred_maps.io import write_bytes
from tools.cross_code_page import write_page
from tools.steps import Step, add_running, claim, find_data, print_left, run_stages, share_of_cores

TRACKS = {"sz": "sz", "xray": "xray", "star": "star", "all": "sz,xray,star"}
MARK = "cross-code.json"
BOTH = "both"


def main(args: Sequence[str] | None = None) -> None:
    """The command line."""
    run_command(_command, args)


def _command(args: list[str]) -> None:
    parser = Parser(prog="python -m tools.cross_code", description=__doc__)
    parser.add_argument("--data", default="mini", help="a store, or a recipe to build into OUT")
    parser.add_argument("--twin", default="mini-gizmo", help="that of the other code")
    parser.add_argument("--out", type=Path, required=True, help="folder of runs and scores")
    parser.add_argument("--steps", type=int, default=None, help="steps of a run, instead of the preset's")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--results", type=Path, default=None, help="also gather the scores into this folder")
    parser.add_argument("--page", type=Path, default=None, help="folder of the page (default: OUT/page)")
    add_running(parser)
    options = parser.parse_args(args)
    out = options.out
    names = [Path(data).stem if Path(data).exists() else data for data in (options.data, options.twin)]
    if names[0] == names[1] or BOTH in names:
        raise InputError(f"--data and --twin are called {names[0]} and {names[1]}: give two different names")
    found = [
        find_data(data, out, folder=name)
        for data, name in zip((options.data, options.twin), names, strict=True)
    ]
    stores = {name: store for name, (store, _) in zip(names, found, strict=True)}
    stages = make_stages(
        stores,
        out,
        steps=options.steps,
        device=options.device,
        threads=share_of_cores(options.workers),
    )
    stages.insert(0, [build for _, build in found if build is not None])
    if options.list:
        print_left(stages)
        return
    claim(out, MARK, {"data": options.data, "twin": options.twin})
    # A build takes all cores by itself.
    run_stages(stages[:1], workers=1)
    run_stages(stages[1:], workers=options.workers)
    results = sorted((out / "results").glob("*.json"))
    for result in results:
        if options.results:
            write_bytes(options.results / result.name, result.read_bytes())
        print((options.results or result.parent) / result.name)
    print(write_page(results, options.page or out / "page"))


def make_stages(
    stores: dict[str, Path], out: Path, *, steps: int | None, device: str, threads: int
) -> list[list[Step]]:
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

    def step(name: str, words: Sequence[str], done: Path) -> Step:
        return Step(name, tuple(words), done, out / "log" / f"{name.replace(' ', '-')}.txt")

    def score(name: str, submission: Path, store: Path, *more: str) -> Step:
        result = out / "results" / f"{name}.json"
        words = ["benchmarks", "score", str(submission), "--data", str(store), "--out", str(result)]
        words += ["--workers", str(threads), "--quiet", *more]
        return step(f"score {name}", words, result)

    for test, store in stores.items():
        name, run = f"{test}-climatology", out / "runs" / f"{test}-climatology"
        words = ["baselines.climatology", "--data", str(store), "--out", str(run), "--quiet"]
        done = run / "submission" / "submission.json"
        predicting.append(Step(name, tuple(words), done, out / "log" / f"{name}.txt", scrap=run))
        home.append(score(name, run / "submission", store))
    for track, views in TRACKS.items():
        for source, data in sources.items():
            run = out / "runs" / f"{source}-{track}"
            words = ["baselines.unet", "--views", views, "--data", data, "--out", str(run)]
            words += ["--device", device, "--threads", str(threads), "--no-submission", "--quiet"]
            words += ["--steps", str(steps)] if steps else []
            training.append(step(f"train {run.name}", words, run / "README.md"))
            for test, store in stores.items():
                name = f"{test}-{track}" if source == test else f"{test}-from-{source}-{track}"
                submission = out / "submissions" / name
                words = ["baselines.predict", str(run), "--data", str(store), "--out", str(submission)]
                words += ["--task", "mass-map" if source == test else "cross-code", "--device", device]
                words += ["--name", f"unet trained on {' and '.join(stores) if source == BOTH else source}"]
                predicting.append(
                    step(f"predict {name}", [*words, "--quiet"], submission / "submission.json")
                )
                if source == test:
                    home.append(score(name, submission, store))
                else:
                    beside = str(out / "results" / f"{test}-{track}.json")
                    away.append(score(name, submission, store, "--in-domain", beside))
    return [training, predicting, home, away]


if __name__ == "__main__":
    main(sys.argv[1:])
