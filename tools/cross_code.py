"""``python -m tools.cross_code --out DIR``: what is learnt from one code's clusters, tried on another's.

Trains on one data set, on its twin of another simulation code, and on both, for each track; predicts the test
split of each; scores all of them, those across codes beside the model at home (``degradation``). A region is
in the same split of both, so that no model meets one it was trained on. ``--results`` gathers the scores as
TEST-TRACK.json (at home) and TEST-from-TRAIN-TRACK.json.
"""

from __future__ import annotations

from pathlib import Path

from baselines.command import command_line
from baselines.settings import Parser
from three_hundred_maps.io import write_bytes
from tools.cross_code_page import write_page
from tools.steps import Step, add_running, add_training, find_twins, run_or_list, score_step, share_of_cores

TRACKS = {"sz": "sz", "xray": "xray", "star": "star", "all": "sz,xray,star"}
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
    out = options.out
    found = find_twins((options.data, options.twin), out, reserved=BOTH)
    stages = make_stages(
        {name: store for name, (store, _) in found.items()},
        out,
        steps=options.steps,
        device=options.device,
        threads=share_of_cores(options.workers),
    )
    builds = [build for _, build in found.values()]
    if not run_or_list(options, stages, builds, MARK, {"data": options.data, "twin": options.twin}):
        return
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

    def score(name: str, submission: Path, store: Path, *more: str) -> Step:
        return score_step(out, name, submission, store, out / "results" / f"{name}.json", threads, *more)

    for test, store in stores.items():
        name, run = f"{test}-climatology", out / "runs" / f"{test}-climatology"
        words = ["baselines.climatology", "--data", str(store), "--out", str(run), "--quiet"]
        done = run / "submission" / "submission.json"
        predicting.append(Step.of(out, name, words, done, scrap=run))
        home.append(score(name, run / "submission", store))
    for track, views in TRACKS.items():
        for source, data in sources.items():
            run = out / "runs" / f"{source}-{track}"
            words = ["baselines.unet", "--views", views, "--data", data, "--out", str(run)]
            words += ["--device", device, "--threads", str(threads), "--no-submission", "--quiet"]
            words += ["--steps", str(steps)] if steps else []
            training.append(Step.of(out, f"train {run.name}", words, run / "README.md"))
            for test, store in stores.items():
                name = f"{test}-{track}" if source == test else f"{test}-from-{source}-{track}"
                submission = out / "submissions" / name
                words = ["baselines.predict", str(run), "--data", str(store), "--out", str(submission)]
                words += ["--task", "mass-map" if source == test else "cross-code", "--device", device]
                words += ["--name", f"unet trained on {' and '.join(stores) if source == BOTH else source}"]
                done = submission / "submission.json"
                predicting.append(Step.of(out, f"predict {name}", [*words, "--quiet"], done))
                if source == test:
                    home.append(score(name, submission, store))
                else:
                    beside = str(out / "results" / f"{test}-{track}.json")
                    away.append(score(name, submission, store, "--in-domain", beside))
    return [training, predicting, home, away]


if __name__ == "__main__":
    main()
