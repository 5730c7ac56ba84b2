"""``python -m tools.gpu --out DIR``: the most that fifteen minutes of a GPU give, in two calls.

In order of value: (1) training rate of the paper's network at 32 channels, eager and compiled, its share of
the card's matrix rate, its memory, inference; (2) the paper's four models (SZ, X-rays, stars, all views) at
an equal budget of 0.7 million samples, on as many synthetic regions as the processors make in three minutes;
(3) one flagship; (4) maps a second of the torch projection.

The machine needs a checkout, Python 3.12, torch, timm, numba, scipy, h5py, matplotlib and, as wheels, zarr
and pydantic with what they need; nothing is downloaded. A call ends within ``--minutes``. What is done is
kept in ``--work`` and skipped by the next call; training that a call's end stopped resumes from its
checkpoint. Each call writes into ``--out`` what there is so far: results.json, pictures, logs.tar.gz and
models in bfloat16, at most eight files of 16 MiB and 64 MiB together. ``--small`` runs every step in minutes
on any CPU: run it before time on a GPU is spent.
"""

from __future__ import annotations

import io
import json
import os
import sys
import tarfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from baselines.command import run_command
from baselines.model import CONFIG_FILE, from_pretrained, in_bfloat16
from baselines.results import kept_scores, view_names
from baselines.results_figures import draw_statistics
from baselines.settings import Parser
from benchmarks.results import read_result
from three_hundred_maps.errors import InputError
from three_hundred_maps.io import write_bytes, write_json
from three_hundred_maps.plot import png
from tools.plan import ALL_VIEWS, PLANS, RESULT, SINGLE_VIEWS, run_name
from tools.results_page import draw_predictions, shown_clusters
from tools.steps import Step, find_data, run_step

MODELS = {run_name(views, 0): views for views in (ALL_VIEWS, *SINGLE_VIEWS)}
FLAGSHIP = "flagship"
SPEED, PROJECTION = "training.json", "projection.json"
KEPT = ("config.yaml", CONFIG_FILE, "log.csv", "curve.png", RESULT)
"""Of each run, in logs.tar.gz."""
FILE_BYTES, ALL_BYTES, FILES = 16 * 2**20, 64 * 2**20, 8
"""What can be copied back."""
HEADER_BYTES = 2**17
"""More than the names and shapes of a model's tensors take in a file."""
DATA_SECONDS, REGION_CORE_SECONDS = 150.0, 1.8
CLOSING_SECONDS = 30.0
"""Kept at the end of a call for writing the output."""


@dataclass(frozen=True)
class Size:
    """How much is trained and measured: options of the commands."""

    recipe: tuple[str, ...]
    common: tuple[str, ...]
    steps: int
    flagship: tuple[str, ...]
    flagship_steps: int
    speed: tuple[str, ...]
    projection: tuple[str, ...]


def full_size(cores: int) -> Size:
    """For a GPU beside so many processors."""
    plan = PLANS["gpu"]
    return Size(
        recipe=(f"simulation.regions=1-{int(DATA_SECONDS * cores / REGION_CORE_SECONDS)}",),
        common=(*plan.common, "--compile"),
        steps=plan.steps,
        flagship=plan.flagship,
        flagship_steps=2 * plan.steps,
        speed=("--seconds", "2", "--rounds", "3"),
        projection=("--particles", "1000000", "--judge-up-to", "0"),
    )


def small_size(cores: int) -> Size:
    """Every step for any CPU; the options of the full size stay, those after them win."""
    tiny = ("--device", "cpu", "--channels", "4", "--batch", "16")
    size = full_size(cores)
    return replace(
        size,
        recipe=("simulation.regions=1-14", "maps.lines_of_sight=4"),
        common=(*size.common, *tiny, "--no-compile", "--test-symmetries", "1"),
        steps=10,
        flagship_steps=10,
        speed=(*size.speed, *tiny, "--rounds", "1", "--seconds", "0.1"),
        projection=("--particles", "20000", "--judge-up-to", "0", "--turns", "1"),
    )


def main(args: Sequence[str] | None = None) -> None:
    """The command line."""
    run_command(_command, args)


def _command(args: list[str]) -> None:
    parser = Parser(prog="python -m tools.gpu", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of what is copied back")
    parser.add_argument("--work", type=Path, default=Path("runs/gpu"), help="data, runs and logs")
    parser.add_argument("--minutes", type=float, default=8.5, help="after so many the call ends")
    parser.add_argument("--data", default="synthetic-gadgetx", help="a store, or a recipe to build")
    parser.add_argument("--small", action="store_true", help="every step, made small for any CPU")
    options = parser.parse_args(args)
    cores = os.cpu_count() or 1
    size = small_size(cores) if options.small else full_size(cores)
    if not options.small and not torch.cuda.is_available():
        raise InputError("torch finds no GPU here: --small runs every step on a CPU")
    deadline = time.monotonic() + 60 * options.minutes - (0 if options.small else CLOSING_SECONDS)
    store, steps = make_steps(size, options.data, options.work)
    errors = run_until(deadline, steps, store, options.work, cores)
    files = write_output(options.work, store, options.out, errors)
    for file in files:
        print(f"{file}: {file.stat().st_size / 2**20:.2f} MiB")
    left = [step.name for step in steps if not step.done.exists()]
    if left:
        print(f"left for the next call: {', '.join(left)}")
    if errors:
        raise InputError("; ".join(f"{name}: {error}" for name, error in errors.items()))


def make_steps(size: Size, data: str, work: Path) -> tuple[Path, list[Step]]:
    """The store, and the steps in order of value."""
    is_store = (Path(data) / "zarr.json").is_file()
    store, build = find_data(data, work, () if is_store else (*size.recipe, "name=synthetic-gpu"))

    def measure(name: str, option: str, file: str, words: Sequence[str]) -> Step:
        words = (f"tools.speed.{name}", option, str(work / file), *words)
        return Step(name, tuple(words), work / file, work / "log" / f"{name}.txt")

    def train(name: str, views: str, steps: int, *words: str) -> Step:
        run = work / "runs" / name
        words = (
            "baselines.unet",
            "--data",
            str(store),
            "--out",
            str(run),
            "--views",
            views,
            *size.common,
            *words,
        )
        words = (*words, "--steps", str(steps), "--quiet")
        return Step(name, words, run / "submission" / "submission.json", work / "log" / f"{name}.txt")

    return store, [
        measure("training", "--out", SPEED, size.speed),
        *([build] if build else []),
        *(train(name, views, size.steps) for name, views in MODELS.items()),
        train(FLAGSHIP, ALL_VIEWS, size.flagship_steps, "--name", FLAGSHIP, *size.flagship),
        measure("projection", "--json", PROJECTION, size.projection),
    ]


def run_until(deadline: float, steps: Sequence[Step], store: Path, work: Path, cores: int) -> dict[str, str]:
    """Run what is not done until the deadline; scores are worked out beside the next training.

    Returns
    -------
    The message of every step that failed, by its name: one that fails does not hold up the others.
    """
    errors: dict[str, str] = {}

    def attempt(step: Step) -> None:
        left = deadline - time.monotonic()
        if left > 0 and not step.done.exists():
            try:
                run_step(step, cores, timeout=left)
            except InputError as error:
                errors[step.name] = str(error)

    scoring: list[Future[None]] = []
    with ThreadPoolExecutor(1) as beside:
        for step in steps:
            attempt(step)
            run = step.done.parent.parent
            if step.done.exists() and run.parent == work / "runs":
                result = run / RESULT
                words = ["benchmarks", "score", str(step.done.parent), "--data", str(store), "--quiet"]
                words += ["--out", str(result), "--workers", str(max(cores // 2, 1))]
                log = work / "log" / f"score-{step.name}.txt"
                score = Step(f"score {step.name}", tuple(words), result, log)
                scoring.append(beside.submit(attempt, score))
        for future in scoring:
            future.result()
    return errors


def write_output(work: Path, store: Path, out: Path, errors: dict[str, str]) -> list[Path]:
    """Write what there is so far into ``out``: numbers, pictures, logs, and models while there is room."""
    runs = [work / "runs" / name for name in (*MODELS, FLAGSHIP)]
    scored: dict[str, dict[str, Any]] = {}
    for run in (run for run in runs if (run / RESULT).is_file()):
        try:
            scored[run.name] = read_result(run / RESULT)
        except InputError as error:
            errors[f"score {run.name}"] = str(error)
    summary: dict[str, Any] = {
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU",
        "torch": torch.__version__,
        "processors": os.cpu_count(),
        "errors": errors,
        "models": {
            name: {key: result.get(key) for key in ("name", "track", "parameters", "dataset")}
            | {"scores": kept_scores(result["scores"]), "log": _last_line(work / "runs" / name / "log.csv")}
            for name, result in scored.items()
        },
    }
    for file in (SPEED, PROJECTION):
        if (work / file).is_file():
            summary[file.removesuffix(".json")] = json.loads((work / file).read_text(encoding="utf-8"))
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "results.json", summary)
    if scored:
        labels = {
            f"{result['name']} ({view_names(result['track'])})": name for name, result in scored.items()
        }
        submissions = {label: work / "runs" / name / "submission" for label, name in labels.items()}
        write_bytes(out / "predictions.png", png(draw_predictions(store, submissions, shown_clusters(store))))
        draw_statistics({label: scored[name] for label, name in labels.items()}, out)
    write_bytes(out / "logs.tar.gz", _logs(work, runs))
    written = sorted(path for path in out.iterdir() if path.is_file() and path.suffix != ".safetensors")
    room = ALL_BYTES - sum(path.stat().st_size for path in written)
    for run in (work / "runs" / FLAGSHIP, *runs):
        if not (run / CONFIG_FILE).is_file() or any(path.name.startswith(run.name) for path in written):
            continue
        parts = model_files(run.name, from_pretrained(run).state_dict())
        size = sum(map(len, parts.values()))
        if len(written) + len(parts) <= FILES and size <= room:
            room -= size
            for name, data in parts.items():
                write_bytes(out / name, data)
                written.append(out / name)
    return written


def _last_line(log: Path) -> dict[str, str]:
    head, *rows = log.read_text(encoding="utf-8").splitlines()
    return dict(zip(head.split(","), rows[-1].split(","), strict=True))


def model_files(name: str, state: Mapping[str, torch.Tensor]) -> dict[str, bytes]:
    """The weights in bfloat16, in as few files as their limit allows: ``NAME-00001-of-00002.safetensors``."""
    from safetensors.torch import save

    parts: list[dict[str, torch.Tensor]] = [{}]
    size = 0
    for key, kept in in_bfloat16(state).items():
        if parts[-1] and size + kept.nbytes > FILE_BYTES - HEADER_BYTES:
            parts.append({})
            size = 0
        parts[-1][key] = kept
        size += kept.nbytes
    if len(parts) == 1:
        return {f"{name}.safetensors": save(parts[0])}
    return {
        f"{name}-{number:05d}-of-{len(parts):05d}.safetensors": save(part)
        for number, part in enumerate(parts, 1)
    }


def _logs(work: Path, runs: Sequence[Path]) -> bytes:
    """A tar of the logs and of every run's small files, without dates or owners."""
    named = [run / name for run in runs for name in KEPT] + sorted((work / "log").glob("*.txt"))
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for path in (path for path in named if path.is_file()):
            entry = tarfile.TarInfo(str(path.relative_to(work)))
            data = path.read_bytes()
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return stream.getvalue()


if __name__ == "__main__":
    main(sys.argv[1:])
