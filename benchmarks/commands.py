"""The commands of the benchmark, one function each."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from three_hundred_maps.errors import InputError
from three_hundred_maps.keys import KEY
from three_hundred_maps.progress import set_quiet

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
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress, no table.")]


def validate(
    submission: Submission,
    data: Annotated[str | None, typer.Option("--data", help="The store predicted on.")] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Tell all that is wrong with a submission, and what was expected."""
    from benchmarks.packing import opened
    from benchmarks.truth import Truth
    from benchmarks.validation import find_problems, task_split
    from three_hundred_maps.store.names import find_store

    with opened(submission) as folder:
        truth = None if data is None else Truth(find_store(data), split=task_split(folder))
        problems, manifest, _ = find_problems(folder, truth)
    if as_json:
        print(json.dumps({"valid": not problems, "problems": problems}, indent=1))
    elif not quiet:
        for problem in problems:
            print(f"- {problem}")
    if problems or manifest is None:
        raise InputError(f"{submission}: {len(problems)} problem(s); the submission cannot be scored")
    if not quiet and not as_json:
        against = "" if truth is None else f", fits the {truth.part} of {truth.name} ({truth.digest[:12]})"
        print(f"valid: {manifest.name!r}, task {manifest.task}, track {manifest.track}{against}")


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
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Score a submission against a store: its test split, for the task transfer all of its splits."""
    from benchmarks.packing import opened
    from benchmarks.results import write_result
    from benchmarks.scoring import score_submission
    from three_hundred_maps.store.names import find_store

    if quiet or as_json:
        set_quiet(True)
    if out is not None and out.exists() and not overwrite:
        raise InputError(f"{out} is there already; give another name or --overwrite")
    with opened(submission) as folder:
        result = score_submission(
            folder,
            find_store(data),
            split=split,
            trained_on=[find_store(name) for name in trained_on or []],
            in_domain=in_domain,
            workers=workers,
        )
    if out is not None:
        write_result(out, result, overwrite=overwrite)
    if as_json:
        print(json.dumps(result, indent=1))
    elif not quiet:
        print(score_table(result))
        if out is not None:
            print(f"result: {out}")


def fingerprint(
    data: Data,
    out: Annotated[
        Path, typer.Option("--out", help="Folder of the record; benchmarks/datasets for the package's own.")
    ],
    split: Annotated[str, typer.Option("--split", help="test, or all for the task transfer.")] = "test",
    trained_on: TrainedOn = None,
    workers: Annotated[int, typer.Option("--workers", min=0, help="Threads; 0 for all processors.")] = 0,
    quiet: Quiet = False,
) -> None:
    """Write the record of a data set: its fingerprint, its reference rows and its noise floor."""
    from benchmarks.records import record_of, write_record
    from benchmarks.scoring import score_maps
    from benchmarks.truth import Truth
    from three_hundred_maps.store.names import find_store

    if quiet:
        set_quiet(True)
    zero = [find_store(name) for name in trained_on or []]
    truth = Truth(find_store(data), split=split, trained_on=zero)
    if truth.sealed:
        raise InputError(f"{data} is held back: a record would tell its truth")
    _, background = score_maps(truth, None, workers=workers, check=False)
    path = write_record(out, record_of(truth, background))
    if not quiet:
        print(f"record: {path}")


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
    quiet: Quiet = False,
) -> None:
    """Render the leaderboard's site from results alone."""
    from benchmarks.leaderboard import render

    if quiet:
        set_quiet(True)
    index = render(results or [], out, verified=verified or [], repository=hub)
    if not quiet:
        print(f"leaderboard: {index}")


def pack(
    submission: Annotated[Path, typer.Argument(help="The submission's folder.")],
    data: Annotated[str | None, typer.Option("--data", help="The store predicted on.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="The archive.")] = None,
    quiet: Quiet = False,
) -> None:
    """Check a submission and make one archive of it, ready to send."""
    from benchmarks import packing
    from three_hundred_maps.store.names import find_store

    archive = packing.pack(submission, out, None if data is None else find_store(data))
    if not quiet:
        print(f"packed: {archive} ({archive.stat().st_size / 1e6:.1f} MB)")


def seal(
    store: Annotated[Path, typer.Argument(help="A finished store.")],
    out: Annotated[Path, typer.Option("--out", help="A new folder for inputs and truth.")],
    quiet: Quiet = False,
) -> None:
    """Split a store's test into inputs to publish and truth to keep."""
    from benchmarks import sealing
    from three_hundred_maps.store.arrays import root_attrs

    if quiet:
        set_quiet(True)
    inputs, truth = sealing.seal(store, out)
    warning = sealing.public_seed(root_attrs(store))
    if warning is not None:
        print(f"warning: {warning}", file=sys.stderr)
    if not quiet:
        print(f"inputs (publish): {inputs}")
        print(f"truth (keep to yourself): {truth}")


def score_table(result: dict[str, Any]) -> str:
    """The scores as a table for a terminal, beside the reference rows and the noise floor."""
    from benchmarks.registry import SCORES

    data = result["dataset"]
    references = result["references"]
    rows = [("score", "value", "95 % interval", *references, "noise floor")]
    for name, found in result["scores"].items():
        digits = SCORES[name].digits
        note = found.get("note", "")
        interval = note
        if found["low"] is not None:
            interval = f"{_number(found['low'], digits)} to {_number(found['high'], digits)}"
        value = note.split(";")[0] if note.startswith(">=") else _number(found["value"], digits)
        others = (_number(r["scores"].get(name, {}).get("value"), digits) for r in references.values())
        noise = _number((result["noise_floor"] or {}).get(name), digits)
        rows.append((name, value, interval, *others, noise))
    return "\n".join(
        [
            f"{result['name']}: {result['task']}, track {result['track']}, on {data['name']} "
            f"({data['halos']} halos x {data['lines_of_sight']} lines of sight, {data['regions']} regions)",
            *_aligned(rows),
            *(f"flag: {flag}" for flag in result["flags"]),
            *_halo_lines(result),
        ]
    )


def _halo_lines(result: dict[str, Any]) -> list[str]:
    """The table halo by halo of a result on all splits."""
    if not result.get("halos"):
        return []
    lines = [("halo", "split", "M200c", "redshift", "rms [dex]", "rms / climatology", "mass bias", "outside")]
    for row in result["halos"]:
        key = ", ".join(str(row[name]) for name in KEY if name in row)
        mass, redshift, rms, ratio, bias = (
            row[k] for k in ("M200c", "redshift", "residual_rms_dex", "rms_over_climatology", "mass_bias")
        )
        lines.append(
            (key, row["split"], f"{mass:.3e}", f"{redshift:.2f}", f"{rms:.4f}", f"{ratio:.3f}",
             f"{bias:+.3f}", ", ".join(row["outside"]))
        )  # fmt: skip
    names = " and ".join(data["name"] for data in result["training"])
    head = f"halo by halo, against the climatology of {names}; outside: what lies beyond its training range"
    return ["", head, *_aligned(lines)]


def _aligned(lines: Sequence[tuple[str, ...]]) -> list[str]:
    """Lines of a table, its first column to the left."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]).rstrip()
        for line in lines
    ]


def _number(value: float | None, digits: int) -> str:
    """A number with its decimals; one of many digits in five of them."""
    if value is None:
        return "-"
    return f"{value:.{digits}f}" if abs(value) < 1e4 else f"{value:.4e}"
