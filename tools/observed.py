"""``python -m tools.observed --out DIR``: what an instrument costs, by view and level, and a page.

Makes the store of every level of the benchmark from a wide ideal one, and that of instruments without beam
and noise in the same observer's frame. On each, U-Nets are trained for each track, with noise drawn anew in
every step; beside them stand ridge and profile regression, and on the levels two lensing baselines. All are
scored by the task ``observed``. Writes observed.json (every number of the page), observed-results.md
(rendered from it alone) and figures into ``--page``; ``--render`` makes the page again from observed.json.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

from baselines.command import command_line
from baselines.lensing import METHODS
from baselines.lensing import VIEWS as SHEAR
from baselines.settings import Parser
from three_hundred_maps.errors import InputError
from three_hundred_maps.observe.levels import BENCHMARK_LEVELS, PERFECT
from tools.observed_page import render_again, write_page
from tools.plan import ALL_VIEWS
from tools.steps import Step, add_running, add_training, find_data, run_or_list, score_step, share_of_cores

TRACKS = {"sz": "sz", "xray": "xray", "star": "star", "all": ALL_VIEWS,
          "all-shear": ",".join((ALL_VIEWS, *SHEAR))}  # fmt: skip
REFERENCES = ("ridge", "profile_regression")
TRAINING = ("--plain", "--shuffle", "2")
"""Of every network: nothing that makes a model hold on other simulations, and a step at a third."""
MARK = "observed-runs.json"


@command_line
def main(args: list[str]) -> None:
    """The command line."""
    parser = Parser(prog="python -m tools.observed", description=__doc__)
    parser.add_argument("--data", default="mini-wide", help="a wide ideal store, or a recipe to build")
    parser.add_argument(
        "--levels", default=",".join(BENCHMARK_LEVELS), help="measured against perfect instruments"
    )
    add_training(parser)
    add_running(parser, render="observed-results.md")
    options = parser.parse_args(args)
    if options.render:
        print(render_again(options.page or Path("docs")))
        return
    if options.out is None:
        raise InputError("--out: a folder for stores, runs and scores")
    out, levels = options.out, [PERFECT, *(level.strip() for level in options.levels.split(","))]
    for level in levels:
        if level not in (PERFECT, *BENCHMARK_LEVELS) or levels.count(level) > 1:
            raise InputError(f"--levels {options.levels}: some of {', '.join(BENCHMARK_LEVELS)}, each once")
    wide, build = find_data(options.data, out, folder="wide")
    stores = {level: out / "stores" / level for level in levels}
    observing = [
        Step.of(
            out,
            f"observe {level}",
            ["three_hundred_maps", "observe", str(wide), "--level", level, "--out", str(store)],
            store / "manifest.json",
        )
        for level, store in stores.items()
    ]
    stages = make_stages(
        stores,
        wide,
        out,
        steps=options.steps,
        device=options.device,
        threads=share_of_cores(options.workers),
    )
    content = {"data": options.data, "steps": options.steps}
    if not run_or_list(options, [observing, *stages], [build], MARK, content):
        return
    results = {step.name.removeprefix("score "): step.done for step in stages[-1]}
    print(write_page(results, wide, options.page or out / "page", command=_as_typed(options)))


def _as_typed(options: argparse.Namespace) -> str:
    words = [f"python -m tools.observed --data {Path(options.data).name}"]
    words += [f"--levels {options.levels}"] if options.levels != ",".join(BENCHMARK_LEVELS) else []
    words += [f"--steps {options.steps}"] if options.steps else []
    return " ".join([*words, "--out DIR --page docs"])


def make_stages(
    stores: Mapping[str, Path], wide: Path, out: Path, *, steps: int | None, device: str, threads: int
) -> list[list[Step]]:
    """Training, prediction and scores.

    Parameters
    ----------
    stores
        By level.
    wide
        The ideal store that they are made of.
    """
    training: list[Step] = []
    predicting: list[Step] = []
    scoring: list[Step] = []

    def score(name: str, submission: Path, store: Path) -> None:
        scoring.append(score_step(out, name, submission, store, out / "results" / f"{name}.json", threads))

    for level, store in stores.items():
        for track, views in TRACKS.items():
            name = f"{level}-unet-{track}"
            run, submission = out / "runs" / name, out / "predictions" / name
            words = ["baselines.unet", "--views", views, "--data", str(store), "--out", str(run), *TRAINING]
            # Perfect instruments have no noise to draw.
            words += ["--noise", "fresh", "--ideal", str(wide)] if level != PERFECT else []
            words += ["--steps", str(steps)] if steps else []
            words += ["--device", device, "--threads", str(threads), "--no-submission", "--quiet"]
            training.append(Step.of(out, f"train {name}", words, run / "README.md"))
            words = ["baselines.predict", str(run), "--data", str(store), "--out", str(submission)]
            words += ["--device", device, "--quiet"]
            predicting.append(Step.of(out, f"predict {name}", words, submission / "submission.json"))
            score(name, submission, store)
        fitted = {f"{name}-all": [name, "--views", ALL_VIEWS, "--quiet"] for name in REFERENCES}
        if level != PERFECT:
            fitted |= {f"{name}-shear": ["lensing", "--method", name] for name in METHODS}
        for name, (program, *more) in fitted.items():
            name = f"{level}-{name}"
            folder = out / "predictions" / name
            words = [f"baselines.{program}", *more, "--data", str(store), "--out", str(folder)]
            done = folder / "submission" / "submission.json"
            predicting.append(Step.of(out, f"predict {name}", words, done, folder))
            score(name, folder / "submission", store)
    return [training, predicting, scoring]


if __name__ == "__main__":
    main()
