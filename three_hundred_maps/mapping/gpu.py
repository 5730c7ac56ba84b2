"""The torch back end: the same stamps on a GPU, or on a CPU. It needs numpy and torch alone.

On a GPU sums are made by atomic additions, whose order changes from run to run: maps agree with the
``fast`` back end to about 1e-5 but are not the same bytes twice.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from three_hundred_maps.mapping import stamps
from three_hundred_maps.mapping.projection import Batch, Grid

Array = NDArray[np.float64]

_ADDITIONS = {"cuda": 1 << 26, "cpu": 1 << 22}
"""Floats added to images at a time: bounds the memory of a step."""


def device() -> torch.device:
    """The first GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def project(batch: Batch, grid: Grid, rotations: Array, threads: int = 1) -> tuple[Array, Array]:
    """See `Backend`; ``threads`` is left to torch."""
    where = device()
    n_fields, n_los = batch.weights.shape[1], len(rotations)
    maps = np.zeros((n_fields, n_los, grid.pixels, grid.pixels))
    position = torch.as_tensor(batch.position, device=where) * (1.0 / grid.pixel_kpc)
    weights = torch.as_tensor(batch.weights, device=where)
    turn = torch.as_tensor(rotations.astype(np.float32), device=where)
    if batch.smoothing_length is None:
        stamp_set = stamps.point_stamps(grid.sigma_px)
        runs = [(0, 0, np.arange(len(position)))]
    else:
        stamp_set = stamps.kernel_stamps(batch.kernel, grid.sigma_px)
        radius_px = batch.smoothing_length * np.float32(1.0 / grid.pixel_kpc)
        runs = _runs(stamp_set, *stamp_set.assign(radius_px))
    table = torch.as_tensor(stamp_set.table, device=where)

    levels = sorted({level for level, _, _ in runs})
    for level in levels:
        extra = 0 if level == 0 else 2
        inner = stamps.coarse_cells(grid.pixels, level, extra) if level else grid.pixels
        image = torch.zeros((n_los, n_fields, inner * inner + 1), dtype=torch.float64, device=where)
        for run_level, number, rows in runs:
            if run_level == level:
                members = torch.as_tensor(rows, device=where)
                _add_run(
                    image, position[members], weights[members], turn, table, stamp_set, number,
                    grid, level, inner, extra,
                )  # fmt: skip
        # the last cell of each image took what fell beside the map
        lattice = image[:, :, :-1].reshape(n_los, n_fields, inner, inner).cpu().numpy().transpose(1, 0, 2, 3)
        if level == 0:
            maps += lattice
        else:
            across = stamps.coarse_interpolation(grid.pixels, level, extra)
            lattice = lattice / 4.0**level
            maps += np.einsum("yv,flvx->flyx", across, np.einsum("flvu,xu->flvx", lattice, across))
    return maps, maps.sum(axis=(2, 3))


def _runs(
    stamp_set: stamps.StampSet, number: NDArray[np.int16], level: NDArray[np.int16]
) -> list[tuple[int, int, NDArray[np.int64]]]:
    """(level, bin, rows of the particles) for every bin in use."""
    key = level.astype(np.int64) * len(stamp_set.width) + number
    order = np.argsort(key, kind="stable")
    keys, first = np.unique(key[order], return_index=True)
    return [
        (int(k) // len(stamp_set.width), int(k) % len(stamp_set.width), rows)
        for k, rows in zip(keys, np.split(order, first[1:]), strict=True)
    ]


def _add_run(
    image: torch.Tensor,
    position: torch.Tensor,
    weights: torch.Tensor,
    turn: torch.Tensor,
    table: torch.Tensor,
    stamp_set: stamps.StampSet,
    number: int,
    grid: Grid,
    level: int,
    inner: int,
    extra: int,
) -> None:
    """Add particles that share one bin of stamps to the images of every line of sight."""
    width, nodes, row = (int(a[number]) for a in (stamp_set.width, stamp_set.nodes, stamp_set.row))
    start = int(stamp_set.offset[number])
    lattice = table[start : start + (nodes + 1) ** 2 * width * row]
    lattice = lattice.reshape(nodes + 1, nodes + 1, width, row)[..., :width].reshape((nodes + 1) ** 2, -1)
    n_los, n_fields, cells = image.shape
    cell = 0.5**level
    # whole numbers of pixels are taken off before a division, so that the fraction keeps its digits
    shift = 0.5 * grid.pixels * cell + extra + 0.5 * (1 - width % 2)
    step = max(1, _ADDITIONS[image.device.type] // (width * width * n_fields))
    offsets = torch.arange(width, device=image.device)
    half_depth = float(np.float32(grid.half_depth_kpc / grid.pixel_kpc))
    for los in range(n_los):
        seen = position @ turn[los].T
        u, v = seen[:, 0] * cell + shift, seen[:, 1] * cell + shift
        low, high = 1 - width + width // 2, inner + width // 2
        keep = (seen[:, 2].abs() <= half_depth) & (u >= low) & (u < high) & (v >= low) & (v < high)
        kept = torch.nonzero(keep)[:, 0]
        for part in kept.split(step):
            pu, pv = u[part], v[part]
            iu, iv = torch.floor(pu), torch.floor(pv)
            fu, fv = (pu - iu) * nodes, (pv - iv) * nodes
            stamp = _stamps_at(lattice, fu, fv, nodes)
            x = iu.long()[:, None] - width // 2 + offsets
            y = iv.long()[:, None] - width // 2 + offsets
            inside_x, inside_y = (x >= 0) & (x < inner), (y >= 0) & (y < inner)
            inside = inside_y[:, :, None] & inside_x[:, None, :]
            index = torch.where(inside, y[:, :, None] * inner + x[:, None, :], cells - 1).reshape(-1)
            w = weights[part]
            for field in range(n_fields):
                image[los, field].index_add_(0, index, (stamp * w[:, field, None]).reshape(-1).double())


def _stamps_at(lattice: torch.Tensor, fu: torch.Tensor, fv: torch.Tensor, nodes: int) -> torch.Tensor:
    """(n, width * width) stamps for sub-pixel positions in units of the lattice's step."""
    line = nodes + 1
    nu, nv = torch.floor(fu).clamp(max=nodes - 1), torch.floor(fv).clamp(max=nodes - 1)
    tu, tv = (fu - nu)[:, None], (fv - nv)[:, None]
    corner = nv.long() * line + nu.long()
    below = lattice[corner] * (1 - tu) + lattice[corner + 1] * tu
    above = lattice[corner + line] * (1 - tu) + lattice[corner + line + 1] * tu
    return below * (1 - tv) + above * tv
