"""``python -m tools.speed.training``: what a training step costs, beside fastMRI's own U-Net.

Steps of our network and of the peer's alternate in one process, so that a busy machine slows both alike; on a
CPU the figure is CPU time, on a GPU the device's own clock. Then the whole training loop (loader, symmetries,
loss on the score grid, clipping, optimiser, averaged weights) in samples/s, in float32 and bfloat16, on a GPU
eager and compiled, with its memory and its share of the card's bfloat16 matrix rate; the loader alone;
inference. The paper's epoch of 131,570 maps is extrapolated from these steps and labelled so.

The peer is the package ``fastmri`` (pip install --no-deps fastmri); without it its column is left empty.
``--batch`` is 32 on a CPU and 256 on a GPU by default; ``--seconds``: about how long one timing lasts;
``--threads``: of torch on a CPU. The figures are kept before torch compiles, which takes long.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import nn

from baselines import unet
from baselines.machine import best_precision, find_machine
from baselines.networks import UNet, count_parameters
from baselines.settings import Settings, merge
from baselines.training import Trainer, compile_failed
from three_hundred_maps.store.finishing import processor
from three_hundred_maps.testing import tiny_store
from tools.speed.report import Report, run, take_turns

PIXELS, LINES = 80, 8
VIEWS = ("sz", "xray", "star")
PAPER_EPOCH = 131_570
"""Maps of an epoch of the paper; it took about 120 s on an A100."""
GOAL_SAMPLES_PER_S = 16_400
MATRIX_RATES = {"H200": 989e12, "H100": 989e12, "A100": 312e12}
"""Dense bfloat16 matrix rates by the makers' data sheets, FLOP/s."""

Step = Callable[[], Any]


@dataclass(frozen=True)
class Bench:
    """Where and at which size steps are timed.

    Parameters
    ----------
    seconds
        About how long each timing lasts.
    store
        What is trained on: a few batches.
    """

    device: torch.device
    channels: int
    batch: int
    seconds: float
    store: Path

    def clock(self, step: Step, repeats: int) -> float:
        """Seconds a call that the device spends: CPU time, or the GPU's own events."""
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

    def repeats(self, step: Step) -> int:
        """So many calls that they last about as long as a timing is to."""
        step()
        return max(1, round(self.seconds / max(self.clock(step, 1), 1e-6)))

    def rate(self, step: Step) -> float:
        """Samples a second."""
        return self.batch / self.clock(step, self.repeats(step))

    def settings(self, precision: str, *, compiled: bool = False, network: str = "unet") -> Settings:
        """A run's settings, as `baselines.unet` would take them."""
        return replace(
            merge({}, config=None, preset="gpu" if self.device.type == "cuda" else "cpu"),
            network=network,
            channels=self.channels,
            batch=self.batch,
            precision=precision,
            compile=compiled,
            steps=10**6,
            device=str(self.device),
        )


def measure(
    report: Report,
    device: str = "auto",
    channels: int = 32,
    batch: int = 0,
    rounds: int = 5,
    seconds: float = 3.0,
    threads: int = 1,
) -> None:
    """The network's step beside the peer's in ``rounds`` turns, the whole loop, the loader, inference."""
    place = find_machine(device).device
    on_gpu = place.type == "cuda"
    torch.set_num_threads(threads)
    batch = batch or (256 if on_gpu else 32)
    store = tiny_store(
        report.folder / "store", halos=(max(1, 2 * batch // LINES), 1, 1), n_los=LINES, half=False
    )
    bench = Bench(place, channels, batch, seconds, store)
    flop = count_flop(bench)
    numbers = report.numbers
    numbers |= {
        "device": torch.cuda.get_device_name(place) if on_gpu else processor(),
        "torch": torch.__version__,
        "multiplies_in_bf16": best_precision(place) == "bf16",
        "threads": None if on_gpu else threads,
        "clock": "device time" if on_gpu else "CPU time",
        "channels": channels,
        "batch": batch,
        "pixels": PIXELS,
        "gflop_per_sample": flop / batch / 1e9,
        "network": compare_networks(bench, rounds),
        "loop": {name: measure_loop(bench, bench.settings(name), flop) for name in ("fp32", "bf16")},
    }
    if find_spec("timm") is not None:
        residual = measure_loop(bench, bench.settings("bf16", network="residual"), flop)
        numbers["residual_samples_per_s"] = residual["samples_per_s"]
    numbers["loader_samples_per_s"] = measure_loader(bench)
    numbers["inference_samples_per_s"] = measure_inference(bench)
    _add_epoch(numbers)
    report.write()
    if on_gpu:
        try:
            compiled = bench.settings("bf16", compiled=True)
            numbers["loop"]["bf16 compiled"] = measure_loop(bench, compiled, flop)
        except RuntimeError as error:
            if not compile_failed(error):
                raise
            # A machine without a compiler for C cannot: the other figures are as good.
            numbers["not_compiled"] = str(error)[-2000:]
            print(f"torch.compile failed: {numbers['not_compiled']}")
        _add_epoch(numbers)
    show(report)


def _add_epoch(numbers: dict[str, Any]) -> None:
    best = max(entry["samples_per_s"] for entry in numbers["loop"].values())
    numbers["paper_epoch_s_extrapolated"] = PAPER_EPOCH / best
    numbers["goal_samples_per_s_on_an_h200"] = GOAL_SAMPLES_PER_S


def peer_network(channels: int) -> nn.Module | None:
    """fastMRI's own U-Net, None where the package is not installed."""
    try:
        from fastmri.models.unet import Unet
    except ModuleNotFoundError:
        return None
    return Unet(len(VIEWS), 1, chans=channels, num_pool_layers=4)


def network_step(network: nn.Module, bench: Bench, *, channels_last: bool = False) -> Step:
    """Forward, backward and a step of AdamW with an L2 loss: the same for every network."""
    format_ = torch.channels_last if channels_last else torch.contiguous_format
    network = network.to(bench.device).to(memory_format=format_).train()  # type: ignore[call-overload]
    inputs = _maps(bench).to(memory_format=format_)
    target = torch.rand(bench.batch, 1, PIXELS, PIXELS, device=bench.device)
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-4, fused=True)

    def step() -> None:
        loss = (network(inputs) - target).square().mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()

    return step


def _maps(bench: Bench) -> torch.Tensor:
    return torch.rand(bench.batch, len(VIEWS), PIXELS, PIXELS, device=bench.device)


def compare_networks(bench: Bench, rounds: int) -> dict[str, Any]:
    """A float32 step of the peer and of ours: as the peer's, and with our defaults."""
    peer = peer_network(bench.channels)
    networks: dict[str, nn.Module] = {} if peer is None else {"fastMRI": peer}
    for norm in ("instance", "batch"):
        networks[f"ours, {norm} norm"] = UNet(len(VIEWS), 1, channels=bench.channels, norm=norm)
    steps = {name: network_step(copy.deepcopy(network), bench) for name, network in networks.items()}
    last = copy.deepcopy(networks["ours, batch norm"])
    steps["ours, batch norm, channels last"] = network_step(last, bench, channels_last=True)
    repeats = bench.repeats(next(iter(steps.values())))
    times = take_turns(steps, rounds, clock=lambda step: bench.clock(step, repeats), warm_up=True)
    result: dict[str, Any] = {}
    for name, values in times.items():
        result[name] = {"step_s": median(values), "samples_per_s": bench.batch / median(values)}
        if peer is not None:
            ratios = [mine / theirs for mine, theirs in zip(values, times["fastMRI"], strict=True)]
            result[name]["time_over_fastmri"] = median(ratios)
    result["parameters"] = {name: count_parameters(network) for name, network in networks.items()}
    return result


def count_flop(bench: Bench) -> float:
    """FLOP of forward and backward of one batch, by torch's counter."""
    from torch.utils.flop_counter import FlopCounterMode

    step = network_step(UNet(len(VIEWS), 1, channels=bench.channels), bench)
    with FlopCounterMode(display=False) as counter:
        step()
    return float(counter.get_total_flops())


def make_trainer(bench: Bench, settings: Settings) -> Trainer:
    """The very training loop of `baselines.unet`, augmentation and all."""
    return unet.make_trainer(settings, bench.store, Path("never-written.pt"), find_machine(settings.device))


def measure_loop(bench: Bench, settings: Settings, flop: float) -> dict[str, Any]:
    """Samples/s of whole training steps, their memory, and the share of the card's matrix rate."""
    device, on_gpu = bench.device, bench.device.type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(device)
    trainer = make_trainer(bench, settings)
    stream = trainer.batches.from_step(0)
    trainer.model.train()

    def step() -> None:
        inputs, target = next(stream)
        trainer._step(inputs, target)
        trainer.state.step += 1

    began = time.perf_counter()
    for _ in range(10 if on_gpu else 1):
        step()
    if on_gpu:
        torch.cuda.synchronize(device)
    first = time.perf_counter() - began
    rate = bench.rate(step)
    taken = bench.batch / rate
    result: dict[str, Any] = {
        "step_s": taken,
        "samples_per_s": rate,
        "tflop_per_s": flop / taken / 1e12,
        "first_steps_s": first,
    }
    if on_gpu:
        result["memory_gib"] = torch.cuda.max_memory_allocated(device) / 2**30
        name = torch.cuda.get_device_name(device)
        most = next((most for card, most in MATRIX_RATES.items() if card in name), None)
        result["share_of_matrix_rate"] = None if most is None else flop / taken / most
    return result


def measure_loader(bench: Bench) -> float:
    """Samples/s of the batches alone, symmetries and all: the loader must never be the limit."""
    stream = make_trainer(bench, replace(bench, channels=4).settings("bf16")).batches.from_step(0)
    return bench.rate(lambda: next(stream))


def measure_inference(bench: Bench) -> dict[str, float]:
    """Samples/s of a prediction from raw maps, without and with the average over eight symmetries."""
    average = make_trainer(bench, bench.settings("bf16")).average
    steps = {n: partial(average.predict, _maps(bench), symmetries=n, bf16=True) for n in (1, 8)}
    return {f"symmetries {n}": bench.rate(step) for n, step in steps.items()}


def show(report: Report) -> None:
    """Print the figures."""
    found = report.numbers
    threads = f", {found['threads']} thread(s)" if found["threads"] else ""
    print(f"{found['device']}{threads}, torch {found['torch']}, {found['clock']}")
    size = f"{found['channels']} channels, batch {found['batch']}"
    print(f"{size}, {found['gflop_per_sample']:.2f} GFLOP a sample")
    heads = {"ms": ".1f", "samples/s": ".1f", "time / fastMRI": ".3f"}
    networks = {name: entry for name, entry in found["network"].items() if name != "parameters"}
    rows = {
        name: [1e3 * entry["step_s"], entry["samples_per_s"], entry.get("time_over_fastmri")]
        for name, entry in networks.items()
    }
    report.table("float32 step of the network alone", heads, rows)
    if "fastMRI" not in networks:
        print("fastMRI's own network is not installed (pip install --no-deps fastmri): no comparison")
    heads = {"ms": ".1f", "samples/s": ".1f", "TFLOP/s": ".3f", "first steps, s": ".1f"}
    heads |= {"GiB": ".1f", "of the bf16 matrix rate": ".1%"}
    kept = ("samples_per_s", "tflop_per_s", "first_steps_s", "memory_gib", "share_of_matrix_rate")
    loop = found["loop"]
    rows = {name: [1e3 * entry["step_s"], *map(entry.get, kept)] for name, entry in loop.items()}
    report.table("whole training step", heads, rows)
    mimicked = "" if found["multiplies_in_bf16"] else ", which this processor only mimics"
    print(f"bf16 is {loop['fp32']['step_s'] / loop['bf16']['step_s']:.2f} x fp32{mimicked}")
    inference = (f"{name}: {rate:.0f} samples/s" for name, rate in found["inference_samples_per_s"].items())
    print(f"loader alone {found['loader_samples_per_s']:.0f} samples/s; inference {', '.join(inference)}")
    print(
        f"the paper's epoch of {PAPER_EPOCH:,} maps: {found['paper_epoch_s_extrapolated']:.0f} s here, "
        f"extrapolated; the goal is {GOAL_SAMPLES_PER_S:,} samples/s on an H200"
    )


if __name__ == "__main__":
    run(measure)
