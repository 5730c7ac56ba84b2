"""``python -m tools.campaign --out DIR``: every run of the results page, step by step, each resumable.

Trains the seven sets of views with three seeds, the normalisations side by side and a probabilistic model,
writes the baselines without a network, scores all of them with the benchmark, and renders the page
(`baselines.results`). Every step is a command of its own that a user could type; a step whose result is
there is passed over, so that the same command goes on after a stop. With ``--minutes`` no step begins after
that time: what is left is for the next call, as on a GPU that is lent for minutes.

``--plan gpu`` measures the speed of training, trains the paper's width for 0.7 million samples a run, and
one flagship; ``--plan cpu`` (where torch finds no GPU) trains 8 channels. ``--rehearse`` runs every step of
a plan on the CPU, with few steps of a small network: what would fail is found before time on a GPU is spent.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from baselines.command import run_command
from baselines.settings import Parser
from three_hundred_maps.errors import InputError
from tools.steps import Step, add_running, claim, find_data, print_left, run_stages, share_of_cores

VIEW_SETS = ("sz", "xray", "star", "sz,xray", "sz,star", "xray,star", "sz,xray,star")
ALL_VIEWS = VIEW_SETS[-1]
NORMS = ("instance", "group")
"""Normalisations shown beside the default, which the runs by views use."""
REFERENCES = (
    ("climatology", ""),
    *(("mean_profile", view) for view in ("sz", "xray", "star")),
    *(("scaling", view) for view in ("sz", "xray")),
    *(("ridge", views) for views in ("sz", "xray", "star", ALL_VIEWS)),
)
MARK = "campaign.json"
SPEED = ("speed.json", "projection.json")
"""What is measured of training and of the projection."""
RESULT = "result.json"
LONG = {"long-all": ALL_VIEWS, "long-star": "star"}
"""The paper's network as long as the flagship: beside it, and all views against the best single one."""
ONE_ORIENTATION = "one-orientation"
"""The prediction of the first run of all views without the average over the square's symmetries."""


CALIBRATED = ("calibrated", "unet, calibrated", ("--calibrate",))
RESIDUAL = ("residual", "residual unet with attention", ("--network", "residual"))


@dataclass(frozen=True)
class Plan:
    """What a machine trains: options of `baselines.unet`, by kind of run.

    Parameters
    ----------
    common, steps
        Of every run.
    further
        Other networks at the same number of steps: the run's folder, the model's name, its options.
    flagship, flagship_steps
        The one run that is to be the best.
    long
        Of the paper's network at the flagship's number of steps; none: it is not trained so.
    speed, projection
        Options of `tools.speed.training` and of `tools.speed.projection`; none: it is not run.
    """

    label: str
    common: tuple[str, ...]
    steps: int
    further: tuple[tuple[str, str, tuple[str, ...]], ...] = ()
    flagship: tuple[str, ...] = ()
    flagship_steps: int = 0
    long: tuple[str, ...] = ()
    speed: tuple[str, ...] = ()
    projection: tuple[str, ...] = ()


PLANS = {
    "cpu": Plan(
        label="8 channels, CPU",
        common=("--preset", "cpu", "--device", "cpu", "--channels", "8"),
        steps=400,
        further=(CALIBRATED, RESIDUAL, ("encoder", "unet on resnet10t", ("--encoder", "resnet10t"))),
        flagship=("--network", "residual", "--channels", "16", "--ema", "0.995", "--calibrate"),
        flagship_steps=1600,
        long=("--ema", "0.995"),
    ),
    "gpu": Plan(
        label="32 channels, GPU",
        common=("--preset", "gpu", "--device", "cuda", "--batch", "256"),
        steps=2734,
        further=(CALIBRATED, RESIDUAL, ("encoder", "unet on resnet18d", ("--encoder", "resnet18d"))),
        flagship=("--network", "residual", "--drop", "0.05", "--calibrate"),
        flagship_steps=8000,
        speed=("--seconds", "3", "--rounds", "3"),
        projection=("--particles", "1000000", "--judge-up-to", "0"),
    ),
}


REHEARSAL_STEPS = 20


def rehearsal(plan: Plan) -> Plan:
    """``plan`` with every step of it, made small for any CPU: its own options stay, those after them win."""
    small = ("--device", "cpu", "--channels", "4", "--batch", "16")
    return replace(
        plan,
        label=f"{plan.label}: a rehearsal with 4 channels on a CPU",
        common=(*plan.common, *small),
        steps=REHEARSAL_STEPS,
        flagship_steps=REHEARSAL_STEPS * plan.flagship_steps // plan.steps,
        speed=(*plan.speed, *small, "--rounds", "1", "--seconds", "0.1") if plan.speed else (),
        projection=(*plan.projection, "--particles", "20000", "--turns", "1") if plan.projection else (),
    )


def main(args: Sequence[str] | None = None) -> None:
    """The command line."""
    run_command(_command, args)


def _command(args: list[str]) -> None:
    parser = Parser(prog="python -m tools.campaign", description=__doc__)
    parser.add_argument("--data", default="mini", help="a store, or a recipe to build into OUT/data")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="over what the recipe says, as `build --set`",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of runs, scores and the page")
    parser.add_argument(
        "--plan", choices=tuple(PLANS), default=None, help="default: by whether there is a GPU"
    )
    parser.add_argument(
        "--rehearse", action="store_true", help="every step of the plan, made small for any CPU"
    )
    parser.add_argument("--seeds", type=int, default=3, help="training seeds of each set of views")
    parser.add_argument("--steps", type=int, default=None, help="steps of a run, instead of the plan's")
    parser.add_argument("--page", type=Path, default=None, help="folder of the page (default: OUT/page)")
    parser.add_argument("--bundle", type=Path, default=None, help="also gather what matters into this folder")
    add_running(parser)
    options = parser.parse_args(args)
    if options.seeds < 1:
        raise InputError("--seeds is at least 1")
    if options.plan is None:
        import torch

        options.plan = "gpu" if torch.cuda.is_available() else "cpu"
    out, threads = options.out, share_of_cores(options.workers)
    store, build = find_data(options.data, out, options.set)
    plan = rehearsal(PLANS[options.plan]) if options.rehearse else PLANS[options.plan]
    stages = make_stages(plan, store, out, seeds=options.seeds, steps=options.steps, threads=threads)
    if build is not None:
        stages.insert(0, [build])
    if options.list:
        print_left(stages)
        return
    mark = {"data": options.data, "set": options.set, "plan": options.plan}
    claim(out, MARK, {**mark, "rehearsal": True} if options.rehearse else mark)
    if run_stages(stages, workers=options.workers, minutes=options.minutes):
        return
    from baselines.results import write_page

    page = write_page(out, options.page or out / "page", label=plan.label)
    print(page)
    if options.bundle:
        from tools.bundle import write_bundle

        for file in write_bundle(out, page.parent, options.bundle):
            print(f"{file}: {file.stat().st_size / 2**20:.1f} MiB")


def make_stages(
    plan: Plan, store: Path, out: Path, *, seeds: int, steps: int | None, threads: int
) -> list[list[Step]]:
    """The steps, in stages of which each needs those before it."""
    runs, logs = out / "runs", out / "log"
    training: list[Step] = []

    def train(name: str, *extra: str, length: int = steps or plan.steps) -> None:
        words: tuple[str, ...] = (
            "baselines.unet",
            "--data",
            str(store),
            "--out",
            str(runs / name),
            *plan.common,
            *extra,
        )
        words = (*words, "--steps", str(length), "--threads", str(threads), "--quiet")
        training.append(
            Step(name, words, runs / name / "submission" / "submission.json", logs / f"{name}.txt")
        )

    # The longest first: else one worker ends with it while the others wait.
    if plan.flagship:
        # Another number of steps is another budget: the flagship keeps its share of it.
        length = plan.flagship_steps * (steps or plan.steps) // plan.steps
        train("flagship", "--views", ALL_VIEWS, "--name", "flagship", *plan.flagship, length=length)
        for name, views in LONG.items() if plan.long else ():
            title = f"unet, {plan.flagship_steps // plan.steps} times the samples"
            train(name, "--views", views, "--name", title, *plan.long, length=length)
    for seed in range(seeds):
        for views in VIEW_SETS:
            train(run_name(views, seed), "--views", views, "--seed", str(seed))
    for norm in NORMS:
        more = ("--norm", norm, "--test-symmetries", "1", "--name", f"unet, {norm} norm")
        train(f"norm-{norm}", "--views", ALL_VIEWS, *more)
    train("gaussian", "--views", ALL_VIEWS, "--loss", "gaussian", "--name", "unet with sigma")
    for name, title, options in plan.further:
        train(name, "--views", ALL_VIEWS, "--name", title, *options)
    for baseline, views in REFERENCES:
        name = f"{baseline}-{views.replace(',', '-')}".rstrip("-")
        words: tuple[str, ...] = (
            f"baselines.{baseline}",
            "--data",
            str(store),
            "--out",
            str(runs / name),
            "--quiet",
        )
        words = (*words, *(("--views", views) if views else ()))
        done = runs / name / "submission" / "submission.json"
        training.append(Step(name, words, done, logs / f"{name}.txt", scrap=runs / name))
    plain = runs / ONE_ORIENTATION / "submission"
    predicting = Step(
        ONE_ORIENTATION,
        (
            *("baselines.predict", str(runs / run_name(ALL_VIEWS, 0)), "--data", str(store)),
            *("--out", str(plain), "--symmetries", "1", "--name", "unet, one orientation"),
            "--quiet",
        ),
        plain / "submission.json",
        logs / f"{ONE_ORIENTATION}.txt",
    )
    scoring = [
        Step(
            f"score {step.name}",
            (
                *("benchmarks", "score", str(step.done.parent), "--data", str(store)),
                *("--out", str(runs / step.name / RESULT), "--workers", str(threads), "--quiet"),
            ),
            runs / step.name / RESULT,
            logs / f"score-{step.name}.txt",
        )
        for step in (*training, predicting)
    ]
    stages = [training, [predicting], scoring]
    # First: of all that a lent GPU is for, this takes the least time.
    measured = [
        Step(
            name,
            (f"tools.speed.{name}", option, str(out / file), *words),
            out / file,
            logs / f"{name}.txt",
        )
        for name, option, file, words in (
            ("training", "--out", SPEED[0], plan.speed),
            ("projection", "--json", SPEED[1], plan.projection),
        )
        if words
    ]
    if measured:
        stages.insert(0, measured)
    return stages


def run_name(views: str, seed: int) -> str:
    """The folder of a run."""
    return f"{views.replace(',', '-')}-{seed}"


if __name__ == "__main__":
    main(sys.argv[1:])
