"""``python -m tools.gpu --out DIR``: the most that one call of nine minutes on a GPU gives.

In order of value: (1) training rate of the paper's network at 32 channels, eager and compiled, its share of
the card's matrix rate, its memory, inference; (2) the paper's four models (SZ, X-rays, stars, all views) at
an equal budget of at most 0.7 million samples; (3) one flagship in the time that is left, and beside it
posterior samples by `baselines.flow`; (4) maps a second of the torch projection. While the GPU is timed, the
processors make synthetic regions to train on; scores are worked out beside the next training. How long the
trainings are, and whether they are compiled, follows from the rates.

The machine needs a checkout, Python 3.12, torch, timm, numba, scipy, h5py, matplotlib and, as wheels, zarr
and pydantic with what they need; nothing is downloaded. A call ends within ``--minutes``; what is done is
kept in ``--work`` and skipped by another call there. Each call writes into ``--out`` what there is so far:
results.json, pictures, logs.tar.gz and models in bfloat16, at most eight files of 16 MiB and 64 MiB together.
``--small`` runs every step in minutes on any CPU: run it before time on a GPU is spent.
"""

from __future__ import annotations

import io
import json
import math
import os
import tarfile
import time
from argparse import BooleanOptionalAction
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from baselines.command import command_line
from baselines.model import CONFIG_FILE, from_pretrained, in_bfloat16
from baselines.networks import import_timm
from baselines.results import kept_scores, view_names
from baselines.results_figures import draw_statistics
from baselines.settings import Parser, read_config
from baselines.unet import CONFIG
from benchmarks.results import read_result
from three_hundred_maps.errors import InputError
from three_hundred_maps.io import write_bytes, write_json
from three_hundred_maps.plot import png
from three_hundred_maps.store.arrays import split_length
from three_hundred_maps.store.schema import SPLITS
from tools.plan import ALL_VIEWS, PLANS, RESULT, SINGLE_VIEWS, run_name
from tools.results_page import draw_predictions, shown_clusters
from tools.steps import Step, find_data, run_step, score_step

MODELS = {run_name(views, 0): views for views in (ALL_VIEWS, *SINGLE_VIEWS)}
FLAGSHIP, FLOW = "flagship", "flow"
SPEED, PROJECTION = "training.json", "projection.json"
KEPT = (CONFIG, CONFIG_FILE, "log.csv", "curve.png", RESULT)
"""Of each run, in logs.tar.gz."""
FILE_BYTES, ALL_BYTES, FILES = 16 * 2**20, 64 * 2**20, 8
"""What can be copied back."""
HEADER_BYTES = 2**17
"""More than the names and shapes of a model's tensors take in a file."""
DATA_SECONDS, REGION_CORE_SECONDS = 150.0, 15.0
"""How long regions are made, and twice what one takes of a core: measured, 7.5 s at 29 lines of sight."""
MEASURE_SECONDS = 150.0
"""After so many a measurement is given up: what it has kept by then counts."""
MEASURE_SHARE = 0.25
"""Of a call's time, at most, for a measurement."""
SHARD_HALOS = 4
"""A worker makes a shard, so there must be several for each."""
CLOSING_SECONDS = 20.0
"""Kept at the end of a call for writing the output."""
RUN_SECONDS = 45.0
"""What a run takes beside its steps: its start, its data, validations, calibration, prediction, scores."""
MODELS_SHARE = 0.75
"""Of the time for training, for the four models; the flagship has the rest."""
AT_ONCE = 2
"""Trainings beside each other: one starts or predicts while the other has the GPU."""
LEAST_STEPS = 300
"""A shorter run is not begun."""
USUAL_RATE = 6000.0
"""Samples a second of a GPU whose rate could not be measured."""
FLOW_SIZE = (
    *("--channels", "16", "--poolings", "3", "--shuffle", "2", "--batch", "256"),
    *("--steps", "400", "--flow-steps", "1500", "--samples", "16"),
)
"""As on a processor, in larger batches: members, the flow, samples of each map."""
NEEDED = (
    "h5py",
    "matplotlib",
    "numba",
    "pydantic",
    "safetensors",
    "scipy",
    "timm",
    "tqdm",
    "typer",
    "yaml",
    "zarr",
)


@dataclass(frozen=True)
class Size:
    """How much is trained and measured: options of the commands.

    Parameters
    ----------
    fixed
        Whether runs have their steps whatever the time that is left.
    """

    recipe: tuple[str, ...]
    common: tuple[str, ...]
    batch: int
    steps: int
    flagship: tuple[str, ...]
    flagship_steps: int
    flow: tuple[str, ...]
    speed: tuple[str, ...]
    projection: tuple[str, ...]
    fixed: bool = False


def full_size(cores: int) -> Size:
    """For a GPU beside so many processors."""
    plan = PLANS["gpu"]
    regions = int(DATA_SECONDS * cores / REGION_CORE_SECONDS)
    return Size(
        recipe=(f"simulation.regions=101-{100 + regions}", f"store.shard_halos={SHARD_HALOS}"),
        common=plan.common,
        batch=int(plan.common[plan.common.index("--batch") + 1]),
        steps=plan.steps,
        flagship=plan.flagship,
        flagship_steps=plan.flagship_steps,
        flow=("--device", "cuda", "--no-compile", *FLOW_SIZE),
        speed=("--seconds", "0.6", "--rounds", "3"),
        projection=("--only-torch", "--particles", "1000000"),
    )


def small_size(cores: int) -> Size:
    """Every step for any CPU; the options of the full size stay, those after them win."""
    tiny = ("--device", "cpu", "--channels", "4", "--batch", "16")
    size = full_size(cores)
    return replace(
        size,
        recipe=("simulation.regions=101-114", "maps.lines_of_sight=4", size.recipe[1]),
        common=(*size.common, *tiny, "--no-compile", "--test-symmetries", "1"),
        batch=16,
        steps=10,
        flagship_steps=10,
        flow=(*size.flow, *tiny, "--steps", "10", "--flow-steps", "10", "--samples", "2"),
        speed=(*size.speed, *tiny, "--rounds", "1", "--seconds", "0.1"),
        projection=(*size.projection, "--particles", "20000", "--turns", "1"),
        fixed=True,
    )


@command_line
def main(args: list[str]) -> None:
    """The command line."""
    began = time.monotonic()
    parser = Parser(prog="python -m tools.gpu", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of what is copied back")
    parser.add_argument("--work", type=Path, default=Path("runs/gpu"), help="data, runs and logs")
    parser.add_argument("--minutes", type=float, default=9.2, help="after so many the call ends")
    parser.add_argument("--data", default="synthetic-gadgetx", help="a store, or a recipe to build")
    parser.add_argument(
        "--compile",
        action=BooleanOptionalAction,
        default=None,
        help="compile the four models' network (default: where the measured rates say that it saves time)",
    )
    parser.add_argument("--small", action="store_true", help="every step, made small for any CPU")
    options = parser.parse_args(args)
    cores = os.cpu_count() or 1
    size = small_size(cores) if options.small else full_size(cores)
    missing = missing_packages(NEEDED)
    if missing:
        raise InputError(f"not to be had here: {'; '.join(missing)}")
    if not options.small and not torch.cuda.is_available():
        raise InputError("torch finds no GPU here: --small runs every step on a CPU")
    # What is compiled once is there for the next run.
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str((options.work / "inductor").absolute()))
    deadline = began + 60 * options.minutes - (0 if options.small else CLOSING_SECONDS)
    call = Call(size, options.data, options.work, cores, began, deadline, compiled=options.compile)
    call.run()
    files = write_output(options.work, call.store, options.out, call.errors)
    for file in files:
        print(f"{file}: {file.stat().st_size / 2**20:.2f} MiB")
    if call.left:
        print(f"left: {', '.join(call.left)}")
    print(f"ended after {time.monotonic() - began:.0f} s", flush=True)
    if call.errors:
        raise InputError("; ".join(f"{name}: {error}" for name, error in call.errors.items()))


def missing_packages(names: Sequence[str]) -> list[str]:
    """Why each of the packages that cannot be imported cannot: also for want of one that it needs itself."""
    why = []
    for name in names:
        try:
            # timm beside a torchvision of another torch needs care.
            import_timm() if name == "timm" else import_module(name)
        except ImportError as error:
            why.append(f"{name} ({error})")
    return why


class Call:
    """What one call does until its deadline.

    Parameters
    ----------
    began, deadline
        Of `time.monotonic`.
    compiled
        Whether the four models are compiled; None: by the rates.
    """

    def __init__(
        self,
        size: Size,
        data: str,
        work: Path,
        cores: int,
        began: float,
        deadline: float,
        *,
        compiled: bool | None = None,
    ) -> None:
        self.size, self.work, self.cores = size, work, cores
        self.began, self.deadline, self.compiled = began, deadline, compiled
        self.errors: dict[str, str] = {}
        """The message of every step that failed, by its name: one that fails does not hold up the others."""
        self.left: list[str] = []
        """What there was no time for."""
        is_store = (Path(data) / "zarr.json").is_file()
        self.store, self.build = find_data(
            data, work, () if is_store else (*size.recipe, "name=synthetic-gpu")
        )

    def run(self) -> None:
        """Measure while the data are made; then train, and work out scores beside the next training."""
        with ThreadPoolExecutor(1) as scoring:
            with ThreadPoolExecutor(2) as both:
                parts = {"measure": both.submit(self._measure_all), "build": both.submit(self._build)}
            self._note(parts)
            if not (self.store / "manifest.json").is_file():
                self.left += [*MODELS, FLAGSHIP, FLOW]
                return
            words = (*self.size.common, *self.compile_words())
            # The four at an equal budget come before the flagship: where time is short it is all theirs.
            for share in (MODELS_SHARE, 1.0):
                seconds = (share * self.time_left() - RUN_SECONDS * len(MODELS) / AT_ONCE) / len(MODELS)
                steps = self.steps_within(seconds, self.rate("--compile" in words), self.size.steps)
                if steps >= LEAST_STEPS:
                    break
            with ThreadPoolExecutor(AT_ONCE) as training:
                parts = {
                    name: training.submit(self._train, scoring, name, views, steps, words)
                    for name, views in MODELS.items()
                }
            self._note(parts)
            rate = 0.8 * float(self.rates().get("residual_samples_per_s", USUAL_RATE / 4))
            steps = self.steps_within(self.time_left() - RUN_SECONDS, rate, self.size.flagship_steps)
            words = (*self.size.common, "--no-compile", "--name", FLAGSHIP, *self.size.flagship)
            with ThreadPoolExecutor(AT_ONCE) as training:
                parts = {
                    FLAGSHIP: training.submit(self._train, scoring, FLAGSHIP, ALL_VIEWS, steps, words),
                    FLOW: training.submit(self._flow, scoring),
                }
            self._note(parts)

    def _note(self, parts: Mapping[str, Future[None]]) -> None:
        """Keep what went wrong beside a step: it must not hold up the others either."""
        self.errors |= {name: repr(e) for name, part in parts.items() if (e := part.exception()) is not None}

    # -- how long, and how ----------------------------------------------------------------------------------

    def time_left(self) -> float:
        """Seconds to the deadline."""
        return self.deadline - time.monotonic()

    def rates(self) -> dict[str, Any]:
        """What was measured of training; empty where that failed."""
        path = self.work / SPEED
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}

    def rate(self, compiled: bool) -> float:
        """Samples a second of the paper's network in a run, a little less than measured."""
        entry = self.rates().get("loop", {}).get("bf16 compiled" if compiled else "bf16")
        return 0.85 * float(entry["samples_per_s"]) if entry else USUAL_RATE

    def compile_words(self) -> tuple[str, ...]:
        """``--compile`` where a run saves more time by it than it takes: each run has its own network."""
        loop = self.rates().get("loop", {})
        if self.compiled is None and "bf16 compiled" in loop:
            eager, faster = (loop[name] for name in ("bf16", "bf16 compiled"))
            saved = self.size.steps * (eager["step_s"] - faster["step_s"])
            self.compiled = saved > faster["first_steps_s"]
        return ("--compile" if self.compiled else "--no-compile",)

    def steps_within(self, seconds: float, samples_per_s: float, most: int) -> int:
        """Steps that there is time for, at most ``most``."""
        return most if self.size.fixed else min(most, int(seconds * samples_per_s / self.size.batch))

    # -- the steps ------------------------------------------------------------------------------------------

    def attempt(self, step: Step, threads: int, most: float = math.inf) -> None:
        """Run a step that is not done, until the deadline; where it fails, its log's end is printed."""
        if step.done.exists():
            return
        left = min(self.time_left(), most)
        if left > 0:
            print(f"{time.monotonic() - self.began:4.0f} s: {step.name} begins", flush=True)
            try:
                run_step(step, threads, timeout=left)
            except InputError as error:
                self.errors[step.name] = str(error)
                lines = step.log.read_text(encoding="utf-8", errors="replace").splitlines()
                print("\n".join((f"{step.name} FAILED:", *lines[-40:])), flush=True)
        if not step.done.exists() and step.name not in self.errors:
            self.left.append(step.name)

    def _measure_all(self) -> None:
        for name, file, words in (
            ("training", SPEED, self.size.speed),
            ("projection", PROJECTION, self.size.projection),
        ):
            command = (f"tools.speed.{name}", "--json", str(self.work / file), *words)
            step = Step.of(self.work, name, command, self.work / file)
            self.attempt(step, 1, min(MEASURE_SECONDS, MEASURE_SHARE * (self.deadline - self.began)))
            if step.log.is_file():
                print(step.log.read_text(encoding="utf-8", errors="replace"), flush=True)

    def _build(self) -> None:
        if self.build is None:
            return
        began = time.monotonic()
        # Some processors are for what is timed beside it.
        words = list(self.build.words)
        words[words.index("--workers") + 1] = str(max(self.cores - 2, 1))
        self.attempt(replace(self.build, words=tuple(words)), 1)
        if self.build.done.exists():
            taken = time.monotonic() - began
            halos = sum(split_length(self.store, split) for split in SPLITS)
            print(f"data: {halos} halos in {taken:.0f} s, {halos / taken:.2f} a second", flush=True)

    def _train(
        self, scoring: ThreadPoolExecutor, name: str, views: str, steps: int, options: Sequence[str]
    ) -> None:
        run = self.work / "runs" / name
        if (run / CONFIG).is_file():
            # Begun by an earlier call: a run goes on as it began.
            steps = int(read_config(run / CONFIG)["steps"])
        elif steps < LEAST_STEPS and not self.size.fixed:
            self.left.append(name)
            return
        self._run(scoring, name, ("baselines.unet", "--views", views, *options, "--steps", str(steps)))

    def _flow(self, scoring: ThreadPoolExecutor) -> None:
        if self.time_left() < 2 * RUN_SECONDS and not self.size.fixed:
            self.left.append(FLOW)
            return
        self._run(scoring, FLOW, ("baselines.flow", "--views", ALL_VIEWS, "--name", FLOW, *self.size.flow))

    def _run(self, scoring: ThreadPoolExecutor, name: str, words: Sequence[str]) -> None:
        """A run, and its scores beside what comes next."""
        run = self.work / "runs" / name
        words = (*words, "--data", str(self.store), "--out", str(run), "--quiet")
        done = run / "submission" / "submission.json"
        self.attempt(Step.of(self.work, name, words, done), max(self.cores // 4, 1))
        if done.exists():
            workers = max(self.cores // 2, 1)
            step = score_step(self.work, name, done.parent, self.store, run / RESULT, workers)
            scoring.submit(self.attempt, step, 1)


def write_output(work: Path, store: Path, out: Path, errors: dict[str, str]) -> list[Path]:
    """Write what there is so far into ``out``: numbers, pictures, logs, and models while there is room."""
    runs = [work / "runs" / name for name in (*MODELS, FLAGSHIP, FLOW)]
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
            f"{result['name']} ({view_names(result['track'])})": name
            for name, result in scored.items()
            if name != FLOW  # samples are no map to show beside the others'
        }
        submissions = {label: work / "runs" / name / "submission" for label, name in labels.items()}
        write_bytes(out / "predictions.png", png(draw_predictions(store, submissions, shown_clusters(store))))
        draw_statistics({label: scored[name] for label, name in labels.items()}, out)
    write_bytes(out / "logs.tar.gz", _logs(work, runs))
    written = sorted(path for path in out.iterdir() if path.is_file() and path.suffix != ".safetensors")
    room = ALL_BYTES - sum(path.stat().st_size for path in written)
    for run in (work / "runs" / FLAGSHIP, *runs[:-1]):
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
    main()
