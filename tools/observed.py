"""``python -m tools.observed --out DIR``: what an instrument costs, by view and level, and a page.

Makes the store of every level of the benchmark from a wide ideal one, and that of instruments without beam
and noise in the same observer's frame. On each, U-Nets are trained for each track, with noise drawn anew in
every step; beside them stand ridge and profile regression, and on the levels two lensing baselines. All are
scored by the task ``observed``. Writes observed.json (every number of the page), observed-results.md
(rendered from it alone) and figures into ``--page``; ``--render`` makes the page again from observed.json.
"""

from __future__ import annotations

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
from tools.plan import TRACKS as OF_MAPS
from tools.steps import Step, Work, add_running, add_training, as_typed, find_data, rendered, run_or_list

TRACKS = {**OF_MAPS, "all-shear": ",".join((ALL_VIEWS, *SHEAR))}
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
    if rendered(options, render_again):
        return
    out, levels = options.out, [PERFECT, *(level.strip() for level in options.levels.split(","))]
    for level in levels:
        if level not in (PERFECT, *BENCHMARK_LEVELS) or levels.count(level) > 1:
            raise InputError(f"--levels {options.levels}: some of {', '.join(BENCHMARK_LEVELS)}, each once")
    wide, build = find_data(options.data, out, folder="wide")
    stores = {level: out / "stores" / level for level in levels}
    observing = []
    for level, store in stores.items():
        words = ["three_hundred_maps", "observe", str(wide), "--level", level, "--out", str(store)]
        observing.append(Step.of(out, f"observe {level}", words, store / "manifest.json"))
    stages = [observing, *make_stages(stores, wide, Work.of(options))]
    content = {"data": options.data, "steps": options.steps}
    if not run_or_list(options, stages, [(wide, build)], MARK, content):
        return
    results = {step.name.removeprefix("score "): step.done for step in stages[-1]}
    command = as_typed(parser, options, ["data"], ["levels", "steps"])
    print(write_page(results, wide, options.page or out / "page", command=command))


def make_stages(stores: Mapping[str, Path], wide: Path, work: Work) -> list[list[Step]]:
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
    for level, store in stores.items():
        made = []
        # Perfect instruments have no noise to draw.
        noise = () if level == PERFECT else ("--noise", "fresh", "--ideal", str(wide))
        for track, views in TRACKS.items():
            name = f"{level}-unet-{track}"
            run = work.run(name)
            training.append(work.train(run, views, store, "--no-submission", *TRAINING, *noise))
            made.append(work.predict(name, run, store))
        for name in REFERENCES:
            made.append(work.fit(f"{level}-{name}-all", name, store, "--views", ALL_VIEWS, "--quiet"))
        for name in METHODS if level != PERFECT else ():
            made.append(work.fit(f"{level}-{name}-shear", "lensing", store, "--method", name))
        predicting += made
        scoring += [work.score(step, store) for step in made]
    return [training, predicting, scoring]


if __name__ == "__main__":
    main()
