"""The command ``python -m benchmarks`` (``thm-bench``): validate, score, fingerprint, leaderboard, ..."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from benchmarks.demo import demo
from three_hundred_maps.cli.app import run_app
from three_hundred_maps.errors import InputError
from three_hundred_maps.io import cores, write_json
from three_hundred_maps.progress import set_quiet

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None)

Submission = Annotated[Path, typer.Argument(help="The submission: a folder, .tar, .zip or .npz.")]
Data = Annotated[
    str, typer.Option("--data", help="The store predicted on (public, or sealed truth), or a config as mini.")
]
TrainedOn = Annotated[
    list[str] | None,
    typer.Option(
        "--trained-on", help="For transfer: the store trained on, whose climatology is the zero of the skill."
    ),
]
TaskName = Annotated[str, typer.Option("--task", help="The task: what is predicted.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress, no table.")]


@app.command()
def validate(
    submission: Submission,
    data: Annotated[str | None, typer.Option("--data", help="The store predicted on.")] = None,
    quiet: Quiet = False,
) -> None:
    """List everything that is wrong with a submission. Each line says what was expected."""
    from benchmarks.packing import opened
    from benchmarks.validation import asked_of, find_problems

    with opened(submission) as folder:
        truth = None if data is None else asked_of(data, folder)
        problems, manifest, _ = find_problems(folder, truth)
    if not quiet:
        for problem in problems:
            print(f"- {problem}")
    if problems or manifest is None:
        raise InputError(f"{submission}: {len(problems)} problem(s); the submission cannot be scored")
    if not quiet:
        against = "" if truth is None else f", fits the {truth.part} of {truth.name} ({truth.digest[:12]})"
        print(f"valid: {manifest.name!r}, task {manifest.task}, track {manifest.track}{against}")


@app.command()
def score(
    submission: Submission,
    data: Data,
    out: Annotated[Path | None, typer.Option("--out", help="Where the result goes, a .json file.")] = None,
    split: Annotated[
        str | None, typer.Option("--split", help="test, or all; by default what the task scores.")
    ] = None,
    trained_on: TrainedOn = None,
    in_domain: Annotated[
        Path | None, typer.Option("--in-domain", help="Result of the in-domain model: gives degradation.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the result.")] = False,
    workers: Annotated[int, typer.Option("--workers", min=0, help="Threads; 0 for all processors.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    quiet: Quiet = False,
) -> None:
    """Score a submission against a store. Its test split, for the task transfer all of its splits."""
    from benchmarks.packing import opened
    from benchmarks.score_table import score_table
    from benchmarks.scoring import score_submission
    from three_hundred_maps.store.local import find_store

    if quiet or as_json:
        set_quiet(True)
    if out is not None:
        # Before the scoring, which may take long.
        if out.exists() and not overwrite:
            raise InputError(f"{out} is there already; give another name or --overwrite")
        if out.is_dir():
            raise InputError(f"{out} is a folder; --out is the result's file, as result.json")
        out.parent.mkdir(parents=True, exist_ok=True)
    with opened(submission) as folder:
        result = score_submission(
            folder,
            find_store(data),
            split=split,
            trained_on=trained_on or [],
            in_domain=in_domain,
            workers=workers,
        )
    if out is not None:
        write_json(out, result)
    if as_json:
        print(json.dumps(result, indent=1))
    elif not quiet:
        print(score_table(result))
        if out is not None:
            print(f"result: {out}")


@app.command()
def fingerprint(
    data: Data,
    out: Annotated[
        Path, typer.Option("--out", help="Folder of the record; benchmarks/datasets for the package's own.")
    ],
    task: TaskName = "mass-map",
    trained_on: TrainedOn = None,
    workers: Annotated[int, typer.Option("--workers", min=0, help="Threads; 0 for all processors.")] = 0,
    quiet: Quiet = False,
) -> None:
    """Record a data set for its boards. Fingerprint, reference rows, noise floor."""
    from benchmarks.records import write_record
    from benchmarks.scoring import score_maps
    from benchmarks.truth import Truth
    from three_hundred_maps.store.local import find_store

    if quiet:
        set_quiet(True)
    zero = [find_store(name) for name in trained_on or []]
    truth = Truth(find_store(data), task=task, trained_on=zero)
    if truth.sealed:
        raise InputError(f"{data} is held back: a record would tell its truth")
    _, background = score_maps(truth, None, workers=workers, check=False)
    path = write_record(out, truth, background)
    if not quiet:
        print(f"record: {path}")


@app.command()
def leaderboard(
    out: Annotated[Path, typer.Option("--out", help="Folder of the site.")],
    results: Annotated[list[Path] | None, typer.Argument(help="Results, or folders that hold some.")] = None,
    verified: Annotated[
        list[Path] | None,
        typer.Option("--verified", help="Folder of results that you scored yourself; may be repeated."),
    ] = None,
    hub: Annotated[
        str | None, typer.Option("--hub", help="The dataset on the Hub, ORG/NAME: writes .eval_results too.")
    ] = None,
    workers: Annotated[int, typer.Option("--workers", min=0, help="Processes; 0: one a processor.")] = 0,
    quiet: Quiet = False,
) -> None:
    """Render the leaderboard's site from result files."""
    from benchmarks.leaderboard import render

    if quiet:
        set_quiet(True)
    processes = workers or cores()
    index = render(results or [], out, verified=verified or [], repository=hub, workers=processes)
    if not quiet:
        print(f"leaderboard: {index}")


@app.command()
def pack(
    submission: Annotated[Path, typer.Argument(help="The submission's folder.")],
    data: Annotated[str | None, typer.Option("--data", help="The store predicted on.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="The archive.")] = None,
    quiet: Quiet = False,
) -> None:
    """Check a submission and make one archive of it, ready to send."""
    from benchmarks import packing

    archive = packing.pack(submission, out, data)
    if not quiet:
        print(f"packed: {archive} ({archive.stat().st_size / 1e6:.1f} MB)")


@app.command()
def seal(
    store: Annotated[str, typer.Argument(help="A finished store.")],
    out: Annotated[Path, typer.Option("--out", help="A new folder for inputs and truth.")],
    task: TaskName = "mass-map",
    quiet: Quiet = False,
) -> None:
    """Split a test into inputs to publish and truth to keep."""
    from benchmarks import sealing
    from three_hundred_maps.store.arrays import root_attrs

    if quiet:
        set_quiet(True)
    inputs, truth = sealing.seal(store, out, task=task)
    warning = sealing.public_seed(root_attrs(store))
    if warning is not None:
        print(f"warning: {warning}", file=sys.stderr)
    if not quiet:
        print(f"inputs (publish): {inputs}")
        print(f"truth (keep to yourself): {truth}")


@app.command()
def bundle(
    sealed: Annotated[Path, typer.Argument(help="A folder that seal made: inputs and truth.")],
    codabench: Annotated[Path, typer.Option("--codabench", help="The competition's bundle, a new .zip.")],
    image: Annotated[
        str,
        typer.Option("--image", help="Docker image that scores, made by the Dockerfile in the bundle."),
    ],
    track: Annotated[
        str | None, typer.Option("--track", help="Views that submissions may use; by default all.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Make a Codabench competition from a sealed store."""
    from benchmarks.competition import write_bundle

    if quiet:
        set_quiet(True)
    path = write_bundle(sealed, codabench, image=image, track=track)
    if not quiet:
        print(
            f"bundle: {path} ({path.stat().st_size / 1e6:.1f} MB); it holds the truth: upload, never publish"
        )


app.command()(demo)


@app.callback()
def _root() -> None:
    """Score predictions of mass maps, and render the leaderboard."""


def main(args: list[str] | None = None) -> NoReturn:
    """Run the command line; exits with 0, or 2 after one clear line for bad input."""
    run_app(app, args, program="python -m benchmarks")
