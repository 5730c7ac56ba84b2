"""Projection: CPU seconds and errors beside the peers, and a whole cluster from particles to maps.

Run ``python -m tools.speed.projection``. One process, one thread, best of several turns, CPU time; the
peers come with the dependency group ``peers``. Errors are relative, a pixel, against a judge that evaluates
every kernel 32 x 32 times a pixel: peers are judged with their own kernel, ours with its Gaussian too.
"""

from __future__ import annotations

import os

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

import argparse  # noqa: E402
import time  # noqa: E402
import tracemalloc  # noqa: E402
from dataclasses import asdict  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

from three_hundred_maps.io import write_json  # noqa: E402
from three_hundred_maps.mapping import fast, get_view, lines_of_sight, render, stamps  # noqa: E402
from three_hundred_maps.mapping.kd_tree import neighbour_distance  # noqa: E402
from three_hundred_maps.mapping.lines_of_sight import rotations  # noqa: E402
from three_hundred_maps.mapping.projection import Batch, Grid  # noqa: E402
from three_hundred_maps.simulation.particles import Cutout  # noqa: E402
from tools.speed import projection_judge, projection_peers  # noqa: E402
from tools.speed.goals import Goal, best_cpu_s, is_idle  # noqa: E402
from tools.speed.projection_data import (  # noqa: E402
    FRAME,
    benchmark_cutout,
    clumpy_cluster,
    gas_fields,
)

VIEWS = ("sz", "xray", "star", "mass")


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


def three_fields(n: int, turns: int, judged: bool) -> tuple[dict[str, Any], list[Goal]]:
    """Time and errors of three gas fields, ours and the peers'."""
    position = clumpy_cluster(n)
    radius = neighbour_distance(position, 48)
    weights = gas_fields(position, radius)
    turn = rotations(*lines_of_sight(29))
    pixel = FRAME.grid.width / FRAME.pixels
    grid = Grid(FRAME.pixels, pixel, FRAME.grid.half_depth, FRAME.grid.sigma_px)
    batch = Batch(position, radius, weights, "cubic_spline")
    radius_px = radius / pixel
    bright = weights[:, 2]
    print(
        f"\n{n:,} gas particles, three fields; kernel radius {np.median(radius_px):.2f} px in the median, "
        f"{bright[radius_px < 1].sum() / bright.sum():.0%} of the X-ray light in kernels under a pixel"
    )
    start = time.process_time()
    stamps.kernel_stamps(batch.kernel, grid.sigma_px)
    print(f"tables of stamps, once a process: {time.process_time() - start:.2f} CPU s")

    ours = best_cpu_s(lambda: fast.project(batch, grid, turn), turns) / len(turn)
    peers, missing = projection_peers.installed()
    columns = np.ascontiguousarray(weights.T)
    unit_radius = radius / np.float32(FRAME.grid.width)
    place_of = projection_peers.unit_places
    result: dict[str, Any] = {
        "particles": n,
        "three_hundred_maps": {"cpu_ms": ours * 1e3},
        "missing": missing,
    }
    los = 3
    for peer in peers:

        def draw(peer: projection_peers.Peer = peer) -> NDArray[np.generic]:
            return peer.render(
                place_of(position, turn[los], FRAME.grid.width), unit_radius, columns, FRAME.pixels
            )

        result[peer.name] = {"cpu_ms": best_cpu_s(draw, turns) * 1e3}
        if judged:
            image = draw()
            truth = _judge(peer.kernel, position, radius, weights, turn[los], 0.0)
            result[peer.name]["errors"] = [errors(image[f], truth[f]) for f in range(3)]
    if judged:
        truth = _judge(projection_judge.projected_cubic, position, radius, weights, turn[los], grid.sigma_px)
        image = fast.project(batch, grid, turn[los : los + 1])[0][:, 0]
        result["three_hundred_maps"]["errors"] = [errors(image[f], truth[f]) for f in range(3)]

    _print_table(result)
    large = n >= 1_000_000
    goals = []
    for name, at_large, at_small in (
        ("swiftsimio fast", 10.0, 6.0),
        ("meshoid GridSurfaceDensityMulti", 3.0, 2.0),
    ):
        if name in result:
            ratio = result[name]["cpu_ms"] / result["three_hundred_maps"]["cpu_ms"]
            goals.append(
                Goal(f"{n:,}: CPU of {name} over ours", ratio, at_large if large else at_small, True)
            )
    if judged:
        mass, _, xray = result["three_hundred_maps"]["errors"]
        goals += [
            Goal(f"{n:,}: mass map, median error", mass["median"], 5e-4, False),
            Goal(f"{n:,}: mass map, 99 % error", mass["q99"], 4e-3, False),
            Goal(f"{n:,}: X-ray map, 99 % error", xray["q99"], 1e-2, False),
            Goal(f"{n:,}: X-ray map, largest error", xray["max"], 3e-2, False),
        ]
    return result, goals


def _judge(
    shape: projection_judge.Shape,
    position: NDArray[np.float32],
    radius: NDArray[np.float32],
    weights: NDArray[np.float32],
    rotation: NDArray[np.float64],
    sigma_px: float,
) -> NDArray[np.float64]:
    pixel = FRAME.grid.width / FRAME.pixels
    seen = position.astype(np.float64) @ rotation.T
    place = seen[:, :2] / pixel + 0.5 * FRAME.pixels
    image = projection_judge.fine_image(
        shape, place, radius.astype(np.float64) / pixel, weights.astype(np.float64), FRAME.pixels
    )
    return projection_judge.to_pixels(image, FRAME.pixels, sigma_px)


def _print_table(result: dict[str, Any]) -> None:
    ours = result["three_hundred_maps"]["cpu_ms"]
    print(f"  {'':<34} {'CPU ms':>8} {'ratio':>7}   mass: median, 99 %      X-ray: 99 %, max, total")
    for name, row in result.items():
        if not isinstance(row, dict):
            continue
        line = f"  {name:<34} {row['cpu_ms']:8.1f} {row['cpu_ms'] / ours:7.1f}"
        if "errors" in row:
            mass, _, xray = row["errors"]
            line += f"   {mass['median']:.1e}, {mass['q99']:.1e}        "
            line += f"{xray['q99']:.1e}, {xray['max']:.1e}, {xray['total']:+.1e}"
        print(line)
    for name in result["missing"]:
        print(f"  {name:<34} not installed")


def inside_total(n: int) -> Goal:
    """How far the map's total is from the particles', when every kernel ends inside the image."""
    position = 0.5 * clumpy_cluster(n) / 1.5
    radius = np.minimum(neighbour_distance(position, 48), np.float32(0.3))
    weights = gas_fields(position, radius)
    grid = Grid(FRAME.pixels, FRAME.grid.width / FRAME.pixels, FRAME.grid.half_depth, FRAME.grid.sigma_px)
    maps, _ = fast.project(
        Batch(position, radius, weights, "cubic_spline"), grid, rotations(*lines_of_sight(3))
    )
    brought = weights.sum(axis=0, dtype=np.float64)
    off = np.abs(maps.astype(np.float32).sum(axis=(2, 3), dtype=np.float64) / brought[:, None] - 1.0)
    return Goal(f"{n:,}: total of maps with every kernel inside", float(off.max()), 1e-5, False)


def whole_cluster(n: int, turns: int) -> tuple[dict[str, Any], list[Goal]]:
    """1e6 gas, 1e6 dark matter, 1e5 stars, 29 lines of sight, four views: CPU, threads, memory."""
    cutout = benchmark_cutout(n)
    views = [get_view(name) for name in VIEWS]
    sight = lines_of_sight(29)

    def draw(threads: int = 1) -> None:
        render(cutout, views, FRAME, *sight, threads=threads)

    cpu = best_cpu_s(draw, turns)
    walls = {}
    load = os.getloadavg()[0]
    for threads in (1, 2):
        times = []
        for _ in range(turns):
            start = time.perf_counter()
            draw(threads)
            times.append(time.perf_counter() - start)
        walls[threads] = min(times)
    tracemalloc.start()
    draw()
    memory = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    n_maps = 29 * len(views)
    print(
        f"\nwhole cluster, {n:,} gas + {n:,} dark matter + {n // 10:,} stars, {n_maps} maps: {cpu:.2f} CPU s "
        f"({n_maps / cpu:.0f} maps a CPU second), two threads {walls[1] / walls[2]:.2f} times as fast, "
        f"{memory:.0f} MB at most beside the particles"
    )
    idle = is_idle(load)
    result = {"cpu_s": cpu, "wall_s": walls, "memory_mb": memory, "maps": n_maps, "load": load}
    goals = [
        Goal("whole cluster: CPU seconds", cpu, 1.5, False),
        Goal("whole cluster: speed-up of two threads", walls[1] / walls[2], 1.7, True, judged=idle),
        Goal("whole cluster: extra memory in MB", memory, 300.0, False),
    ]
    result["torch"] = torch_back_end(cutout, views, turns) if _torch_finds_a_gpu() else None
    return result, goals


def _torch_finds_a_gpu() -> bool:
    try:
        import torch
    except ImportError:
        print("torch: not installed")
        return False
    if not torch.cuda.is_available():
        print("torch back end: no GPU here, not measured")
    return torch.cuda.is_available()


def torch_back_end(cutout: Cutout, views: list[Any], turns: int) -> dict[str, Any]:
    """Wall seconds of a whole cluster, and the largest difference from ``fast``, over each map's maximum."""
    import torch

    def draw(backend: str, lines: int) -> dict[str, tuple[NDArray[np.float32], NDArray[np.float64]]]:
        return render(cutout, views, FRAME, *lines_of_sight(lines), backend=backend)

    first = time.perf_counter()
    ours, others = (draw(backend, 1) for backend in ("torch", "fast"))
    off = {name: float(np.abs(maps - others[name][0]).max() / maps.max()) for name, (maps, _) in ours.items()}
    first = time.perf_counter() - first
    times = []
    for _ in range(turns):
        start = time.perf_counter()
        draw("torch", 29)
        times.append(time.perf_counter() - start)
    n_maps = 29 * len(views)
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    differ = ", ".join(f"{view} {value:.1e}" for view, value in off.items())
    print(f"torch back end on {name}: {min(times):.2f} s, {n_maps / min(times):.0f} maps a second")
    print(f"largest difference from the fast back end, over the map's maximum: {differ} ({first:.1f} s)")
    return {"device": name, "wall_s": min(times), "maps": n_maps, "largest_difference": off}


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--particles", type=int, nargs="+", default=[200_000, 1_000_000])
    parser.add_argument("--turns", type=int, default=3, help="of each measurement; the best counts")
    parser.add_argument(
        "--judge-up-to", type=int, default=1_000_000, help="errors for no more particles than this: slow"
    )
    parser.add_argument("--only-torch", action="store_true", help="the torch back end alone")
    parser.add_argument("--json", help="write every number to this file as well")
    options = parser.parse_args(arguments)
    if options.only_torch:
        views = [get_view(name) for name in VIEWS]
        result = torch_back_end(benchmark_cutout(max(options.particles)), views, options.turns)
        if options.json:
            write_json(Path(options.json), {"torch": result})
        return
    print(f"load of the machine: {os.getloadavg()[0]:.2f} on {os.cpu_count()} processors")
    results: list[dict[str, Any]] = []
    goals: list[Goal] = []
    for n in options.particles:
        result, more = three_fields(n, options.turns, judged=n <= options.judge_up_to)
        results.append(result)
        goals += more
    goals.append(inside_total(max(options.particles)))
    cluster, more = whole_cluster(max(options.particles), options.turns)
    goals += more
    print("\ngoals")
    for goal in goals:
        print(goal)
    if options.json:
        rows = [asdict(goal) | {"met": goal.met} for goal in goals]
        content = {"three_fields": results, "whole_cluster": cluster, "goals": rows}
        write_json(Path(options.json), content)


if __name__ == "__main__":
    main()
