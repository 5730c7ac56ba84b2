"""The torch back end: the same stamps on a GPU, or on a CPU. It needs numpy and torch alone.

On a GPU sums are made by atomic additions, whose order changes from run to run: maps agree with the
``fast`` back end to about 1e-5 but are not the same bytes twice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from three_hundred_maps.mapping import stamps
from three_hundred_maps.mapping.projection import Batch, Grid

Array = NDArray[np.float64]

_ADDITIONS = {"cuda": 1 << 24, "cpu": 1 << 20}
"""Pixels of stamps that are worked on at a time: bounds the memory of a step."""

_COARSE_EXTRA = 2  # points of a coarse lattice beyond the map's edge that interpolation reads


@dataclass(frozen=True)
class _Group:
    """Particles whose stamps have one shape: of one level, width and number of sub-pixel positions."""

    level: int
    width: int
    nodes: int
    row: int
    members: torch.Tensor  # (n,) rows of the particles
    offset: torch.Tensor  # (n,) where each particle's stamps begin in the table


@dataclass(frozen=True)
class _Lattice:
    """The images of one level: ``inner`` cells a side, the map's own from ``extra`` on."""

    level: int
    inner: int
    extra: int

    @property
    def cells(self) -> int:
        """Cells of an image, and one more for what falls beside it."""
        return self.inner**2 + 1

    @staticmethod
    def make(pixels: int, level: int) -> _Lattice:
        extra = _COARSE_EXTRA if level else 0
        return _Lattice(level, stamps.coarse_cells(pixels, level, extra) if level else pixels, extra)


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
    matrices = torch.as_tensor(rotations.astype(np.float32), device=where)
    stamp_set, groups = _groups(batch, grid, where)
    table = torch.as_tensor(stamp_set.table, device=where)
    for level in sorted({group.level for group in groups}):
        lattice = _Lattice.make(grid.pixels, level)
        image = torch.zeros(n_los * n_fields * lattice.cells, dtype=torch.float64, device=where)
        for group in groups:
            if group.level == level:
                _add_group(image, group, lattice, grid, position, weights, matrices, table)
        cells = image.reshape(n_los, n_fields, lattice.cells)[:, :, :-1].cpu().numpy()
        drawn = cells.reshape(n_los, n_fields, lattice.inner, lattice.inner).transpose(1, 0, 2, 3)
        if level == 0:
            maps += drawn
        else:
            across = stamps.coarse_interpolation(grid.pixels, level, lattice.extra)
            drawn = drawn / 4.0**level
            maps += np.einsum("yv,flvx->flyx", across, np.einsum("flvu,xu->flvx", drawn, across))
    return maps, maps.sum(axis=(2, 3))


def _groups(batch: Batch, grid: Grid, where: torch.device) -> tuple[stamps.StampSet, list[_Group]]:
    n = len(batch.position)
    if batch.smoothing_length is None:
        stamp_set = stamps.point_stamps(grid.sigma_px)
        number, level = np.zeros(n, np.int64), np.zeros(n, np.int64)
    else:
        stamp_set = stamps.kernel_stamps(batch.kernel, grid.sigma_px)
        radius_px = batch.smoothing_length * np.float32(1.0 / grid.pixel_kpc)
        number, level = (part.astype(np.int64) for part in stamp_set.assign(radius_px))
    shape = np.stack([level, stamp_set.width[number], stamp_set.nodes[number], stamp_set.row[number]])
    kinds, kind = np.unique(shape, axis=1, return_inverse=True)
    groups = []
    for k, (level_k, width, nodes, row) in enumerate(kinds.T.tolist()):
        members = np.flatnonzero(kind.ravel() == k)
        offset = stamp_set.offset[number[members]]
        groups.append(
            _Group(
                level_k,
                width,
                nodes,
                row,
                torch.as_tensor(members, device=where),
                torch.as_tensor(offset, device=where),
            )
        )
    return stamp_set, groups


def _add_group(
    image: torch.Tensor,
    group: _Group,
    lattice: _Lattice,
    grid: Grid,
    position: torch.Tensor,
    weights: torch.Tensor,
    matrices: torch.Tensor,
    table: torch.Tensor,
) -> None:
    """Add a group of particles to the images of every line of sight."""
    width, n_fields = group.width, weights.shape[1]
    step = max(1, _ADDITIONS[image.device.type] // width**2)
    half_depth = float(np.float32(grid.half_depth_kpc / grid.pixel_kpc))
    cell = 0.5**group.level
    shift = 0.5 * grid.pixels * cell + lattice.extra + 0.5 * (1 - width % 2)
    low, high = 1 - width + width // 2, lattice.inner + width // 2
    for los in range(len(matrices)):
        for members, offset in zip(group.members.split(step), group.offset.split(step), strict=True):
            # No matrix product: that may be set to a precision of 10 bits, which moves particles by pixels.
            seen = (position[members, None, :] * matrices[los]).sum(dim=-1)
            place = seen[:, :2] * cell + shift
            inside = (seen[:, 2].abs() <= half_depth) & ((place >= low) & (place < high)).all(dim=1)
            kept = torch.nonzero(inside)[:, 0]
            if len(kept) == 0:
                continue
            whole = torch.floor(place[kept])
            stamp = _stamps(table, group, offset[kept], (place[kept] - whole) * group.nodes)
            index = _pixels(whole.long() - width // 2, width, lattice)
            for field in range(n_fields):
                first = (los * n_fields + field) * lattice.cells
                added = stamp * weights[members[kept], field, None]
                image[first : first + lattice.cells].index_add_(0, index, added.reshape(-1).double())


def _pixels(start: torch.Tensor, width: int, lattice: _Lattice) -> torch.Tensor:
    """(n * width * width,) cells of stamps that begin at ``start`` (n, [x, y]); the last cell for beside."""
    along = start[:, :, None] + torch.arange(width, device=start.device)
    inside = (along >= 0) & (along < lattice.inner)
    index = along[:, 1, :, None] * lattice.inner + along[:, 0, None, :]
    both = inside[:, 1, :, None] & inside[:, 0, None, :]
    return torch.where(both, index, lattice.cells - 1).reshape(-1)


def _stamps(
    table: torch.Tensor, group: _Group, offset: torch.Tensor, sub_pixel: torch.Tensor
) -> torch.Tensor:
    """(n, width * width) stamps, interpolated to sub-pixel positions (n, [x, y]) in units of the nodes."""
    node = sub_pixel.floor().clamp(max=group.nodes - 1)
    part = sub_pixel - node
    size = group.row * group.width
    line = (group.nodes + 1) * size
    corner = offset + node[:, 1].long() * line + node[:, 0].long() * size
    along = torch.arange(group.width, device=table.device)
    within = (along[:, None] * group.row + along[None, :]).reshape(-1)
    index = corner[:, None] + within
    tx, ty = part[:, :1], part[:, 1:]
    below = table[index] * (1 - tx) + table[index + size] * tx
    above = table[index + line] * (1 - tx) + table[index + line + size] * tx
    return below * (1 - ty) + above * ty
