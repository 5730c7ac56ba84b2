"""Projection: CPU seconds and errors beside the peers, and a whole cluster from particles to maps.

Run ``python -m tools.speed.projection``. One process, one thread, best of several turns, CPU time; the
peers come with the dependency group ``peers``. Errors are relative, a pixel, against a judge that evaluates
every kernel 32 x 32 times a pixel: peers are judged with their own kernel, ours with its Gaussian too.
"""

from __future__ import annotations

import tracemalloc
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.mapping import fast, get_view, lines_of_sight, render, stamps
from three_hundred_maps.mapping.kd_tree import neighbour_distance
from three_hundred_maps.mapping.lines_of_sight import rotations
from three_hundred_maps.mapping.projection import Batch, Grid
from three_hundred_maps.simulation.particles import Cutout
from tools.speed import projection_judge as judge
from tools.speed.projection_data import FRAME, benchmark_cutout, clumpy_cluster, gas_fields
from tools.speed.projection_peers import PEERS, Floats, unit_places
from tools.speed.report import Report, Work, cpu_s, installed, least, run, spent, wall_s

VIEWS = ("sz", "xray", "star", "mass")
OURS = "three_hundred_maps"
PIXEL = FRAME.grid.width / FRAME.pixels
GRID = Grid(FRAME.pixels, PIXEL, FRAME.grid.half_depth, FRAME.grid.sigma_px)
LINES = 29
SHOWN = 3
"""The line of sight whose maps are compared."""
PEER_GOALS = {"swiftsimio fast": (10.0, 6.0), "meshoid GridSurfaceDensityMulti": (3.0, 2.0)}
"""CPU time over ours, of 1e6 particles and of fewer."""


def errors(image: NDArray[np.generic], truth: NDArray[np.float64]) -> dict[str, float]:
    """Relative errors of the pixels that hold something, and of the total."""
    held = truth > 0
    off = np.abs(np.asarray(image, np.float64)[held] / truth[held] - 1.0)
    return {
        "median": float(np.median(off)),
        "q99": float(np.quantile(off, 0.99)),
        "max": float(off.max()),
        "total": float(np.sum(image, dtype=np.float64) / np.sum(truth) - 1.0),
    }


def three_fields(report: Report, n: int, turns: int, judged: bool) -> dict[str, Any]:
    """Time and errors of three gas fields, ours and the peers'."""
    position = clumpy_cluster(n)
    radius = neighbour_distance(position, 48)
    weights = gas_fields(position, radius)
    turn = rotations(*lines_of_sight(LINES))
    batch = Batch(position, radius, weights, "cubic_spline")
    radius_px, bright = radius / PIXEL, weights[:, 2]
    print(
        f"\n{n:,} gas particles, three fields; kernel radius {np.median(radius_px):.2f} px in the median, "
        f"{bright[radius_px < 1].sum() / bright.sum():.0%} of the X-ray light in kernels under a pixel"
    )
    once = cpu_s(lambda: stamps.kernel_stamps(batch.kernel, GRID.sigma_px))
    print(f"tables of stamps, once a process: {once:.2f} CPU s")

    peers, missing = installed({name: load for name, (load, _) in PEERS.items()})
    columns, unit_radius = np.ascontiguousarray(weights.T), radius / np.float32(FRAME.grid.width)

    def draw(name: str) -> NDArray[np.generic]:
        place = unit_places(position, turn[SHOWN], FRAME.grid.width)
        return peers[name](place, unit_radius, columns, FRAME.pixels)

    works: dict[str, Work] = {OURS: lambda: fast.project(batch, GRID, turn)}
    works |= {name: partial(draw, name) for name in peers}
    seconds = least(works, turns, warm_up=True)
    seconds[OURS] /= LINES
    result: dict[str, Any] = {name: {"cpu_ms": 1e3 * best} for name, best in seconds.items()}
    if judged:
        place = (position.astype(np.float64) @ turn[SHOWN].T)[:, :2] / PIXEL + 0.5 * FRAME.pixels
        particles = (place, radius.astype(np.float64) / PIXEL, weights.astype(np.float64), FRAME.pixels)
        images = {name: draw(name) for name in peers}
        images[OURS] = fast.project(batch, GRID, turn[SHOWN : SHOWN + 1])[0][:, 0]
        for name, image in images.items():
            shape, sigma = (judge.projected_cubic, GRID.sigma_px) if name == OURS else (PEERS[name][1], 0.0)
            truth = judge.to_pixels(judge.fine_image(shape, *particles), FRAME.pixels, sigma)
            result[name]["errors"] = [errors(image[f], truth[f]) for f in range(3)]
    _show(report, n, result)
    return {"particles": n, **result, "missing": missing}


def _show(report: Report, n: int, result: dict[str, Any]) -> None:
    """The table of three fields, and the goals."""
    ours = result[OURS]["cpu_ms"]
    heads = {"CPU ms": ".1f", "ratio": ".1f", "mass median": ".1e", "mass 99 %": ".1e"}
    heads |= {"X-ray 99 %": ".1e", "max": ".1e", "total": "+.1e"}
    rows: dict[str, list[Any]] = {}
    for name, row in result.items():
        mass, _, xray = row.get("errors", ({}, {}, {}))
        off = [mass.get("median"), mass.get("q99"), xray.get("q99"), xray.get("max"), xray.get("total")]
        rows[name] = [row["cpu_ms"], row["cpu_ms"] / ours, *off]
    report.table("a line of sight", heads, rows)
    for name, (large, small) in PEER_GOALS.items():
        if name in result:
            goal = large if n >= 1_000_000 else small
            report.goal(f"{n:,}: CPU of {name} over ours", result[name]["cpu_ms"] / ours, goal, at_least=True)
    if "errors" in result[OURS]:
        mass, _, xray = result[OURS]["errors"]
        report.goal(f"{n:,}: mass map, median error", mass["median"], 5e-4)
        report.goal(f"{n:,}: mass map, 99 % error", mass["q99"], 4e-3)
        report.goal(f"{n:,}: X-ray map, 99 % error", xray["q99"], 1e-2)
        report.goal(f"{n:,}: X-ray map, largest error", xray["max"], 3e-2)


def inside_total(n: int) -> float:
    """How far the map's total is from the particles', when every kernel ends inside the image."""
    position = 0.5 * clumpy_cluster(n) / 1.5
    radius = np.minimum(neighbour_distance(position, 48), np.float32(0.3))
    weights = gas_fields(position, radius)
    batch = Batch(position, radius, weights, "cubic_spline")
    maps, _ = fast.project(batch, GRID, rotations(*lines_of_sight(3)))
    brought = weights.sum(axis=0, dtype=np.float64)
    off = np.abs(maps.astype(np.float32).sum(axis=(2, 3), dtype=np.float64) / brought[:, None] - 1.0)
    return float(off.max())


def render_all(cutout: Cutout, lines: int = LINES, **options: Any) -> dict[str, tuple[Floats, Any]]:
    """Every view along so many lines of sight."""
    return render(cutout, [get_view(name) for name in VIEWS], FRAME, *lines_of_sight(lines), **options)


def whole_cluster(report: Report, n: int, turns: int) -> dict[str, Any]:
    """1e6 gas, 1e6 dark matter, 1e5 stars, 29 lines of sight, four views: CPU, threads, memory."""
    cutout = benchmark_cutout(n)
    cpu = least({"": lambda: render_all(cutout)}, turns, warm_up=True)[""]
    threads = {str(number): partial(render_all, cutout, threads=number) for number in (1, 2)}
    walls = least(threads, turns, clock=wall_s)
    tracemalloc.start()
    render_all(cutout)
    memory = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    maps, faster = LINES * len(VIEWS), walls["1"] / walls["2"]
    print(
        f"\nwhole cluster, {n:,} gas + {n:,} dark matter + {n // 10:,} stars, {maps} maps: {cpu:.2f} CPU s "
        f"({maps / cpu:.0f} maps a CPU second), two threads {faster:.2f} times as fast, "
        f"{memory:.0f} MB at most beside the particles"
    )
    report.goal("whole cluster: CPU seconds", cpu, 1.5)
    report.goal("whole cluster: speed-up of two threads", faster, 1.7, at_least=True, wall=True)
    report.goal("whole cluster: extra memory in MB", memory, 300.0)
    on_gpu = torch_back_end(cutout, turns) if _torch_finds_a_gpu() else None
    return {"cpu_s": cpu, "wall_s": walls, "memory_mb": memory, "maps": maps, "torch": on_gpu}


def _torch_finds_a_gpu() -> bool:
    try:
        import torch
    except ImportError:
        print("torch: not installed")
        return False
    if not torch.cuda.is_available():
        print("torch back end: no GPU here, not measured")
    return torch.cuda.is_available()


def torch_back_end(cutout: Cutout, turns: int) -> dict[str, Any]:
    """Wall seconds of a whole cluster, and the largest difference from ``fast``, over each map's maximum."""
    import torch

    first = spent(lambda: [render_all(cutout, 1, backend=backend) for backend in ("torch", "fast")])
    ours, others = first.value
    off = {name: float(np.abs(maps - others[name][0]).max() / maps.max()) for name, (maps, _) in ours.items()}
    wall = least({"": lambda: render_all(cutout, backend="torch")}, turns, clock=wall_s)[""]
    maps = LINES * len(VIEWS)
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    differ = ", ".join(f"{view} {value:.1e}" for view, value in off.items())
    print(f"torch back end on {name}: {wall:.2f} s, {maps / wall:.0f} maps a second")
    print(
        f"largest difference from the fast back end, over the map's maximum: {differ} ({first.wall_s:.1f} s)"
    )
    return {"device": name, "wall_s": wall, "maps": maps, "largest_difference": off}


def measure(
    report: Report,
    particles: tuple[int, ...] = (200_000, 1_000_000),
    turns: int = 3,
    judge_up_to: int = 1_000_000,
    only_torch: bool = False,
) -> None:
    """Best of ``turns``; errors are worked out, slowly, for no more than ``judge_up_to`` particles."""
    most = max(particles)
    if only_torch:
        report.numbers["torch"] = torch_back_end(benchmark_cutout(most), turns)
        return
    fields = [three_fields(report, n, turns, judged=n <= judge_up_to) for n in particles]
    report.goal(f"{most:,}: total of maps with every kernel inside", inside_total(most), 1e-5)
    report.numbers |= {"three_fields": fields, "whole_cluster": whole_cluster(report, most, turns)}


if __name__ == "__main__":
    run(measure)
