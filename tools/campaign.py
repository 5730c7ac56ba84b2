"""``python -m tools.campaign --out DIR``: every run of the results page, step by step, each resumable.

Trains the seven sets of views with three seeds, the normalisations side by side and a probabilistic model,
writes the baselines without a network, scores all of them with the benchmark, and renders the page
(``--render``: again, from results.json). Every step is a command of its own that a user could type; a step
whose result is there is skipped, so that the same command resumes a stopped campaign.

``--plan gpu`` trains the paper's width for 0.7 million samples a run, and one flagship; ``--plan cpu`` (where
torch finds no GPU) trains 8 channels, ``--plan small`` those runs on a GPU, with ``--workers 8`` in minutes.
For a GPU that is lent for minutes see `tools.gpu`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from baselines.command import command_line
from baselines.settings import Parser
from three_hundred_maps.errors import InputError
from three_hundred_maps.io import write_bytes
from tools.plan import (
    ALL_VIEWS,
    LONG,
    MARK,
    NORMS,
    ONE_ORIENTATION,
    PLANS,
    REFERENCES,
    RESULT,
    VIEW_SETS,
    Plan,
    baseline_name,
    curve_name,
    run_name,
)
from tools.results_page import PAGE, render_again, write_page
from tools.steps import Step, add_running, find_data, rendered, run_or_list, score_step, share_of_cores


@command_line
def main(args: list[str]) -> None:
    """The command line."""
    parser = Parser(prog="python -m tools.campaign", description=__doc__)
    parser.add_argument("--data", default="mini", help="a store, or a recipe to build into OUT/data")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override a value of the recipe, as in `build --set`",
    )
    parser.add_argument("--plan", choices=tuple(PLANS), help="default: by whether there is a GPU")
    parser.add_argument("--seeds", type=int, default=3, help="training seeds of each set of views")
    parser.add_argument("--steps", type=int, help="steps of a run, instead of the plan's")
    parser.add_argument(
        "--clusters",
        default="",
        metavar="N,...",
        help="a learning curve: all views on the first so many training clusters too, as 25,50,100",
    )
    parser.add_argument("--results", type=Path, help="also gather the scores into this folder")
    add_running(parser, render=PAGE)
    options = parser.parse_args(args)
    if rendered(options, render_again):
        return
    if options.seeds < 1:
        raise InputError("--seeds is at least 1")
    if options.plan is None:
        import torch

        options.plan = "gpu" if torch.cuda.is_available() else "cpu"
    found = find_data(options.data, options.out, options.set)
    stages = make_stages(
        PLANS[options.plan],
        found[0],
        options.out,
        seeds=options.seeds,
        steps=options.steps,
        threads=share_of_cores(options.workers),
        clusters=_numbers(options.clusters),
    )
    content = {"data": options.data, "set": options.set, "plan": options.plan}
    if run_or_list(options, stages, [found], MARK, content):
        if options.results:
            # Models of fewer clusters are for the page alone.
            shown = re.compile(r"(?!(clusters|ridge)-\d)")
            for result in sorted((options.out / "runs").glob(f"*/{RESULT}")):
                if not shown.match(result.parent.name):
                    continue
                name = json.loads(result.read_bytes())["dataset"]["name"]
                write_bytes(options.results / f"{name}-{result.parent.name}.json", result.read_bytes())
        print(write_page(options.out, options.page or options.out / "page"))


def _numbers(clusters: str) -> list[int]:
    """Those of ``--clusters``; InputError where they are none."""
    words = [word.strip() for word in clusters.split(",") if word.strip()]
    if not all(word.isdecimal() and int(word) for word in words):
        raise InputError(f"--clusters {clusters}: numbers of clusters, as 25,50,100")
    return sorted({int(word) for word in words})


def make_stages(
    plan: Plan,
    store: Path,
    out: Path,
    *,
    seeds: int,
    steps: int | None,
    threads: int,
    clusters: Sequence[int] = (),
) -> list[list[Step]]:
    """The steps, in stages of which each needs those before it."""
    runs = out / "runs"
    submission = "submission/submission.json"
    # Another number of steps is another budget: the flagship keeps its share of it.
    length = steps or plan.steps
    long_length = plan.flagship_steps * length // plan.steps

    def train(name: str, *extra: str, length: int = length, data: Path | None = None) -> Step:
        run = runs / name
        words = ["baselines.unet", "--data", str(data or store), "--out", str(run), *plan.common, *extra]
        words += ["--steps", str(length), "--threads", str(threads), "--quiet"]
        # What learns from fewer clusters predicts the same ones as all others, by a step of its own.
        words += ["--no-submission"] if data else []
        return Step.of(out, name, words, run / ("README.md" if data else submission))

    def on_all_views(name: str, title: str, *extra: str, length: int = length) -> Step:
        return train(name, "--views", ALL_VIEWS, "--name", title, *extra, length=length)

    # The longest first: else one worker ends with it while the others wait.
    training = [on_all_views("flagship", "flagship", *plan.flagship, length=long_length)]
    if plan.long:
        title = f"unet, {plan.flagship_steps // plan.steps} times the samples"
        training += [
            train(name, "--views", views, "--name", title, *plan.long, length=long_length)
            for name, views in LONG.items()
        ]
    training += [
        train(run_name(views, seed), "--views", views, "--seed", str(seed))
        for seed in range(seeds)
        for views in VIEW_SETS
    ]
    training += [
        on_all_views(f"norm-{norm}", f"unet, {norm} norm", "--norm", norm, "--test-symmetries", "1")
        for norm in NORMS
    ]
    training.append(on_all_views("gaussian", "unet with sigma", "--loss", "gaussian"))
    training += [on_all_views(name, title, *options) for name, title, options in plan.further]
    for baseline, views in REFERENCES:
        name = baseline_name(baseline, views)
        run = runs / name
        words = [f"baselines.{baseline}", "--data", str(store), "--out", str(run), "--quiet"]
        words += ["--views", views] if views else []
        training.append(Step.of(out, name, words, run / submission, scrap=run))

    def predict(run: str, name: str, title: str, *extra: str) -> Step:
        done = runs / name / submission
        words = ["baselines.predict", str(runs / run), "--data", str(store), "--out", str(done.parent)]
        words += ["--name", title, *extra, "--quiet"]
        return Step.of(out, f"predict {name}", words, done)

    predicting = [
        predict(run_name(ALL_VIEWS, 0), ONE_ORIENTATION, "unet, one orientation", "--symmetries", "1")
    ]
    subsets = []
    for number in clusters:
        subset, title = out / "clusters" / str(number), f"of {number} clusters"
        words = ["three_hundred_maps", "subset", str(store), "--halos", str(number), "--out", str(subset)]
        subsets.append(Step.of(out, f"subset {number}", [*words, "--quiet"], subset / "manifest.json"))
        for seed in range(seeds):
            name = curve_name(number, seed)
            training.append(train(name, "--views", ALL_VIEWS, "--seed", str(seed), data=subset))
            predicting.append(predict(name, name, f"unet {title}"))
        name = baseline_name(f"ridge-{number}", ALL_VIEWS)
        words = ["baselines.ridge", "--views", ALL_VIEWS, "--data", str(subset), "--predict", str(store)]
        words += ["--out", str(runs / name), "--quiet"]
        predicting.append(Step.of(out, f"predict {name}", words, runs / name / submission, runs / name))

    def score(step: Step) -> Step:
        run = step.done.parent.parent
        return score_step(out, run.name, step.done.parent, store, run / RESULT, threads)

    made = [step for step in (*training, *predicting) if step.done.name == Path(submission).name]
    return [subsets, training, predicting, [score(step) for step in made]]


if __name__ == "__main__":
    main()
