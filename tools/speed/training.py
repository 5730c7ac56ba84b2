"""``python -m tools.speed.training``: what a training step costs, beside fastMRI's own U-Net.

Steps of our network and of the peer's alternate in one process, so that a busy machine slows both alike; on a
CPU the figure is CPU time, on a GPU the device's own clock. Then the whole training loop (loader, symmetries,
loss on the score grid, clipping, optimiser, averaged weights) in samples/s, in float32 and bfloat16, on a GPU
eager and compiled, with its memory and its share of the card's bfloat16 matrix rate; the loader alone;
inference. The paper's epoch of 131,570 maps is extrapolated from these steps and labelled so.

The peer is the package ``fastmri`` (pip install --no-deps fastmri); without it its column is left empty.
"""

from __future__ import annotations

import copy
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from baselines.augment import Augment
from baselines.command import command_line
from baselines.data import ResidentBatches, Rows
from baselines.losses import MassLoss
from baselines.machine import best_precision, find_machine
from baselines.model import Architecture, MassModel
from baselines.networks import UNet, count_parameters
from baselines.settings import Parser, Settings, merge
from baselines.training import Trainer, compile_failed
from three_hundred_maps.climatology import RING_EDGES
from three_hundred_maps.io import write_json
from three_hundred_maps.torch_inputs import LogTransform
from three_hundred_maps.torch_transforms import ScoreGrid, Training, Transforms

PIXELS = 80
VIEWS = ("sz", "xray", "star")
PAPER_EPOCH = 131_570
"""Maps of an epoch of the paper; it took about 120 s on an A100."""
GOAL_SAMPLES_PER_S = 16_400
MATRIX_RATES = {"H200": 989e12, "H100": 989e12, "A100": 312e12}
"""Dense bfloat16 matrix rates by the makers' data sheets, FLOP/s."""

Step = Callable[[], Any]


@dataclass(frozen=True)
class Clock:
    """Seconds that a device spends on a function: CPU time, or the GPU's own events."""

    device: torch.device

    def seconds(self, step: Step, repeats: int) -> float:
        """Per call, over ``repeats`` calls."""
        if self.device.type == "cuda":
            start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            torch.cuda.synchronize(self.device)
            start.record()
            for _ in range(repeats):
                step()
            stop.record()
            torch.cuda.synchronize(self.device)
            return float(start.elapsed_time(stop)) / 1e3 / repeats
        began = time.process_time()
        for _ in range(repeats):
            step()
        return (time.process_time() - began) / repeats


def alternate(clock: Clock, steps: dict[str, Step], *, rounds: int, repeats: int) -> dict[str, list[float]]:
    """Seconds a call of several functions, taken in turn; the first round warms up and is dropped."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(rounds + 1):
        for name, step in steps.items():
            seconds = clock.seconds(step, repeats)
            if number:
                times[name].append(seconds)
    return times


@command_line
def main(args: list[str]) -> None:
    """The command line."""
    parser = Parser(prog="python -m tools.speed.training", description=__doc__)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--channels", type=int, default=32)
    parser.add_argument("--batch", type=int, default=None, help="default: 32 on a CPU, 256 on a GPU")
    parser.add_argument("--rounds", type=int, default=5, help="rounds that are timed")
    parser.add_argument(
        "--seconds", type=float, default=3.0, help="about how long one timing of a step lasts"
    )
    parser.add_argument("--threads", type=int, default=1, help="threads of torch on a CPU")
    parser.add_argument("--out", type=Path, default=None, help="also write the figures as JSON")
    options = parser.parse_args(args)
    device = find_machine(options.device).device
    torch.set_num_threads(options.threads)
    batch = options.batch or (256 if device.type == "cuda" else 32)

    def keep(report: dict[str, Any]) -> None:
        if options.out:
            write_json(options.out, report)

    report = measure(
        device,
        channels=options.channels,
        batch=batch,
        rounds=options.rounds,
        seconds=options.seconds,
        keep=keep,
    )
    print_report(report)
    keep(report)


def measure(
    device: torch.device,
    *,
    channels: int,
    batch: int,
    rounds: int,
    seconds: float,
    keep: Callable[[dict[str, Any]], None] = lambda report: None,
) -> dict[str, Any]:
    """All figures, as plain JSON; ``keep`` is given what there is before torch compiles, which takes long."""
    clock = Clock(device)
    report: dict[str, Any] = {
        "device": device_name(device),
        "torch": torch.__version__,
        "multiplies_in_bf16": best_precision(device) == "bf16",
        "threads": torch.get_num_threads() if device.type == "cpu" else None,
        "clock": "device time" if device.type == "cuda" else "CPU time",
        "channels": channels,
        "batch": batch,
        "pixels": PIXELS,
    }
    report["network"] = compare_networks(clock, channels, batch, rounds, seconds)
    flop = count_flop(channels, batch, device)
    report["gflop_per_sample"] = flop / batch / 1e9
    report["loop"] = {}
    for precision in ("fp32", "bf16"):
        settings = loop_settings(channels, batch, precision, False, device)
        report["loop"][precision] = measure_loop(clock, settings, seconds, flop)
    if find_spec("timm") is not None:
        settings = loop_settings(channels, batch, "bf16", False, device, network="residual")
        report["residual_samples_per_s"] = measure_loop(clock, settings, seconds, flop)["samples_per_s"]
    report["loader_samples_per_s"] = measure_loader(clock, batch, seconds)
    report["inference_samples_per_s"] = measure_inference(clock, channels, batch, seconds)
    _add_epoch(report)
    keep(report)
    if device.type == "cuda":
        settings = loop_settings(channels, batch, "bf16", True, device)
        try:
            report["loop"]["bf16 compiled"] = measure_loop(clock, settings, seconds, flop)
        except RuntimeError as error:
            if not compile_failed(error):
                raise
            # A machine without a compiler for C cannot: the other figures are as good.
            report["not_compiled"] = str(error)[-2000:]
            print(f"torch.compile failed: {report['not_compiled']}")
        _add_epoch(report)
    return report


def _add_epoch(report: dict[str, Any]) -> None:
    best = max(entry["samples_per_s"] for entry in report["loop"].values())
    report["paper_epoch_s_extrapolated"] = PAPER_EPOCH / best
    report["goal_samples_per_s_on_an_h200"] = GOAL_SAMPLES_PER_S


def device_name(device: torch.device) -> str:
    """The processor's name."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def peer_network(channels: int) -> nn.Module | None:
    """fastMRI's own U-Net, None where the package is not installed."""
    try:
        from fastmri.models.unet import Unet
    except ModuleNotFoundError:
        return None
    return Unet(len(VIEWS), 1, chans=channels, num_pool_layers=4)


def repeats_for(clock: Clock, step: Step, seconds: float) -> int:
    """So many calls that they last about ``seconds``."""
    step()
    return max(1, round(seconds / max(clock.seconds(step, 1), 1e-6)))


def network_step(network: nn.Module, device: torch.device, batch: int, *, channels_last: bool) -> Step:
    """Forward, backward and a step of AdamW with an L2 loss: the same for every network."""
    format_ = torch.channels_last if channels_last else torch.contiguous_format
    network = network.to(device).to(memory_format=format_).train()  # type: ignore[call-overload]
    inputs = torch.rand(batch, len(VIEWS), PIXELS, PIXELS, device=device).to(memory_format=format_)
    target = torch.rand(batch, 1, PIXELS, PIXELS, device=device)
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-4, fused=True)

    def step() -> None:
        loss = (network(inputs) - target).square().mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()

    return step


def compare_networks(clock: Clock, channels: int, batch: int, rounds: int, seconds: float) -> dict[str, Any]:
    """A float32 step of the peer and of ours: as the peer's, and with our defaults."""
    ours = dict.fromkeys(("instance", "batch"))
    networks: dict[str, nn.Module] = {
        f"ours, {norm} norm": UNet(len(VIEWS), 1, channels=channels, norm=norm) for norm in ours
    }
    peer = peer_network(channels)
    if peer is not None:
        networks = {"fastMRI": peer, **networks}
    steps = {
        name: network_step(copy.deepcopy(network), clock.device, batch, channels_last=False)
        for name, network in networks.items()
    }
    steps["ours, batch norm, channels last"] = network_step(
        networks["ours, batch norm"], clock.device, batch, channels_last=True
    )
    repeats = repeats_for(clock, next(iter(steps.values())), seconds)
    times = alternate(clock, steps, rounds=rounds, repeats=repeats)
    result: dict[str, Any] = {}
    for name, values in times.items():
        result[name] = {
            "step_s": statistics.median(values),
            "samples_per_s": batch / statistics.median(values),
        }
        if peer is not None:
            ratios = [mine / theirs for mine, theirs in zip(values, times["fastMRI"], strict=True)]
            result[name]["time_over_fastmri"] = statistics.median(ratios)
    result["parameters"] = {name: count_parameters(network) for name, network in networks.items()}
    return result


def count_flop(channels: int, batch: int, device: torch.device) -> float:
    """FLOP of forward and backward of one batch, by torch's counter."""
    from torch.utils.flop_counter import FlopCounterMode

    step = network_step(UNet(len(VIEWS), 1, channels=channels), device, batch, channels_last=False)
    with FlopCounterMode(display=False) as counter:
        step()
    return float(counter.get_total_flops())


def loop_settings(
    channels: int,
    batch: int,
    precision: str,
    compiled: bool,
    device: torch.device,
    network: str = "unet",
) -> Settings:
    """A run's settings, as `baselines.unet` would take them."""
    settings = merge({}, config=None, preset="gpu" if device.type == "cuda" else "cpu")
    return replace(
        settings,
        network=network,
        channels=channels,
        batch=batch,
        precision=precision,
        compile=compiled,
        steps=10**6,
        device=str(device),
    )


def make_trainer(settings: Settings, device: torch.device) -> Trainer:
    """The very training loop of `baselines.unet`, augmentation and all, on noise held on the device."""
    rings = tuple(float(edge) for edge in RING_EDGES)
    transforms = Transforms(
        tuple(LogTransform(view, 1.0, 0.0, 1.0) for view in VIEWS),
        rings,
        (8.0,) * (len(rings) - 1),
        PIXELS,
        2.0,
        "none",
        Training((0.0, 0.0), half_depth=2.0, smoothing_fwhm=0.01, omega_m=0.307, omega_lambda=0.693),
        robust=settings.robust(),
    )
    count = 4 * settings.batch
    dtype = torch.bfloat16 if settings.precision == "bf16" and device.type == "cuda" else torch.float32
    rows = Rows(
        torch.randn(count, len(VIEWS), PIXELS, PIXELS, device=device).exp_().to(dtype),
        0.1 * torch.randn(count, PIXELS, PIXELS, device=device),
        np.arange(count),
        np.arange(count),
    )
    batches = ResidentBatches(
        rows,
        batch=settings.batch,
        seed=0,
        symmetries=True,
        device=device,
        augment=Augment(transforms, settings),
    )
    architecture = Architecture(network=settings.network, channels=settings.channels)
    model = MassModel(architecture, transforms).to(device)
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    grid = ScoreGrid(transforms, "score", device)
    return Trainer(
        model=model,
        batches=batches,
        validation=rows,
        loss=MassLoss(grid, "l2", 0.1),
        settings=settings,
        checkpoint=Path("never-written.pt"),
        samples_per_epoch=count,
    )


def measure_loop(clock: Clock, settings: Settings, seconds: float, flop: float) -> dict[str, Any]:
    """Samples/s of whole training steps, their memory, and the share of the card's matrix rate."""
    device = clock.device
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    trainer, batch = make_trainer(settings, device), settings.batch
    stream = trainer.batches.from_step(0)
    trainer.model.train()

    def step() -> None:
        inputs, target = next(stream)
        trainer._step(inputs, target)
        trainer.state.step += 1

    began = time.perf_counter()
    for _ in range(10 if device.type == "cuda" else 1):
        step()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    first = time.perf_counter() - began
    taken = clock.seconds(step, repeats_for(clock, step, seconds))
    result: dict[str, Any] = {
        "step_s": taken,
        "samples_per_s": batch / taken,
        "tflop_per_s": flop / taken / 1e12,
        "first_steps_s": first,
    }
    if device.type == "cuda":
        result["memory_gib"] = torch.cuda.max_memory_allocated(device) / 2**30
        name = torch.cuda.get_device_name(device)
        rate = next((rate for card, rate in MATRIX_RATES.items() if card in name), None)
        result["share_of_matrix_rate"] = None if rate is None else flop / taken / rate
    return result


def measure_loader(clock: Clock, batch: int, seconds: float) -> float:
    """Samples/s of the batches alone, symmetries and all: the loader must never be the limit."""
    trainer = make_trainer(loop_settings(4, batch, "bf16", False, clock.device), clock.device)
    stream = trainer.batches.from_step(0)

    def step() -> None:
        next(stream)

    return batch / clock.seconds(step, repeats_for(clock, step, seconds))


def measure_inference(clock: Clock, channels: int, batch: int, seconds: float) -> dict[str, float]:
    """Samples/s of a prediction from raw maps, without and with the average over eight symmetries."""
    trainer = make_trainer(loop_settings(channels, batch, "bf16", False, clock.device), clock.device)
    maps = torch.rand(batch, len(VIEWS), PIXELS, PIXELS, device=clock.device)
    result = {}
    for symmetries in (1, 8):

        def step(symmetries: int = symmetries) -> None:
            trainer.average.predict(maps, symmetries=symmetries, bf16=True)

        result[f"symmetries {symmetries}"] = batch / clock.seconds(step, repeats_for(clock, step, seconds))
    return result


def print_report(report: dict[str, Any]) -> None:
    """The figures as a table."""
    threads = f", {report['threads']} thread(s)" if report["threads"] else ""
    print(f"{report['device']}{threads}, torch {report['torch']}, {report['clock']}")
    size = f"{report['channels']} channels, batch {report['batch']}"
    print(f"{size}, {report['gflop_per_sample']:.2f} GFLOP a sample")
    print("\nfloat32 step of the network alone      ms    samples/s   time / fastMRI")
    for name, entry in report["network"].items():
        if name != "parameters":
            ratio = entry.get("time_over_fastmri")
            shown = "-" if ratio is None else f"{ratio:.3f}"
            print(f"{name:34s} {1e3 * entry['step_s']:9.1f} {entry['samples_per_s']:10.1f} {shown:>12s}")
    if not any("time_over_fastmri" in entry for entry in report["network"].values()):
        print("fastMRI's own network is not installed (pip install --no-deps fastmri): no comparison")
    print("\nwhole training step                    ms    samples/s   TFLOP/s")
    for name, entry in report["loop"].items():
        more = f"   first steps {entry['first_steps_s']:.1f} s"
        if "memory_gib" in entry:
            share = entry["share_of_matrix_rate"]
            rate = "unknown" if share is None else f"{100 * share:.1f} %"
            more += f", {entry['memory_gib']:.1f} GiB, {rate} of the bf16 matrix rate"
        figures = f"{1e3 * entry['step_s']:9.1f} {entry['samples_per_s']:10.1f} {entry['tflop_per_s']:9.3f}"
        print(f"{name:34s} {figures}{more}")
    speed_up = report["loop"]["fp32"]["step_s"] / report["loop"]["bf16"]["step_s"]
    mimicked = "" if report["multiplies_in_bf16"] else ", which this processor only mimics"
    print(f"bf16 is {speed_up:.2f} x fp32{mimicked}")
    print(f"loader alone {report['loader_samples_per_s']:.0f} samples/s; inference ", end="")
    print(
        ", ".join(
            f"{name}: {value:.0f} samples/s" for name, value in report["inference_samples_per_s"].items()
        )
    )
    epoch = report["paper_epoch_s_extrapolated"]
    print(
        f"the paper's epoch of {PAPER_EPOCH:,} maps: {epoch:.0f} s here, extrapolated; "
        f"the goal is {GOAL_SAMPLES_PER_S:,} samples/s on an H200"
    )


if __name__ == "__main__":
    main()
