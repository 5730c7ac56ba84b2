"""How public simulations lay their snapshots out: SWIFT's cells and masters, IllustrisTNG's chunks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.simulation.tables import take
from three_hundred_maps.simulation.writers.content import ParticleData, SnapshotHeader, counts
from three_hundred_maps.simulation.writers.hdf5 import write_hdf5
from three_hundred_maps.testing.dialects import DIALECTS

_LINKED = 1.5
"""In R200c: what lies nearer to a halo is in its group."""


def write_swift(
    path: str | Path,
    header: SnapshotHeader,
    particles: ParticleData,
    *,
    files: int = 4,
    cells: int = 4,
    extent: bool = True,
    **options: Any,
) -> Path:
    """A distributed SWIFT snapshot: particles in the order of ``cells``^3 cells, and a master file.

    Parameters
    ----------
    path
        ``NAME.hdf5``, of the master; its parts are ``NAME.0.hdf5``, ...
    header, particles
        As for `write_hdf5`.
    files, cells
        How many parts, and cells along one side of the box.
    extent
        Whether the cells' MinPositions and MaxPositions are written, as by newer versions.

    Returns
    -------
    Path
        The master.
    """
    path = Path(path)
    side = header.box_size / cells
    n = cells**3
    file_of = np.arange(n) * files // n
    ordered: dict[int, dict[str, NDArray[Any]]] = {}
    rows: dict[int, NDArray[np.int64]] = {}
    for kind, fields in particles.items():
        place = np.floor(np.asarray(fields["position"], np.float64) / side).astype(int).clip(0, cells - 1)
        cell = (place[:, 0] * cells + place[:, 1]) * cells + place[:, 2]
        ordered[kind] = take(dict(fields), np.argsort(cell, kind="stable"))
        rows[kind] = np.bincount(cell, minlength=n)
    first = {kind: np.cumsum(number) - number for kind, number in rows.items()}
    parts = []
    for part in range(files):
        mine = file_of == part
        span = {k: slice(int(first[k][mine].min()), int((first[k] + rows[k])[mine].max())) for k in rows}
        parts.append({kind: take(fields, span[kind]) for kind, fields in ordered.items()})
    written = write_hdf5(path, header, ordered, dialect=DIALECTS["swift"], parts=parts, **options)
    corner = np.stack(np.meshgrid(*[np.arange(cells)] * 3, indexing="ij"), -1).reshape(-1, 3)
    with h5py.File(written[0]) as opened:
        box = float(opened["Header"].attrs["BoxSize"][0])

    def add_cells(file: h5py.File, chosen: NDArray[np.bool_]) -> None:
        group = file.create_group("Cells")
        group["Centres"] = (corner + 0.5) * box / cells
        group.create_group("Meta-data").attrs.update(
            {"dimension": np.full(3, cells), "nr_cells": n, "size": np.full(3, box / cells)}
        )
        for kind in rows:
            name = f"PartType{kind}"
            start_of_file = np.array([first[kind][file_of == f].min() for f in range(files)])
            group[f"Counts/{name}"] = np.where(chosen, rows[kind], 0)
            group[f"Files/{name}"] = file_of.astype(np.int32)
            group[f"OffsetsInFile/{name}"] = np.where(chosen, first[kind] - start_of_file[file_of], 0)
            if extent:
                position = np.asarray(ordered[kind]["position"], np.float32).astype(np.float64)
                ends = [
                    [
                        f(position[a : a + m], axis=0) if m else np.zeros(3)
                        for a, m in zip(first[kind], rows[kind], strict=True)
                    ]
                    for f in (np.min, np.max)
                ]
                # The file's numbers are rounded once more: a hair wider.
                scale = box / header.box_size
                group[f"MinPositions/{name}"] = np.array(ends[0]) * scale * (1.0 - 1e-6)
                group[f"MaxPositions/{name}"] = np.array(ends[1]) * scale * (1.0 + 1e-6)

    for part, name in enumerate(written):
        with h5py.File(name, "r+") as file:
            add_cells(file, file_of == part)
    if files == 1:
        return path
    master = write_master(written, path)
    with h5py.File(master, "r+") as file:
        add_cells(file, np.ones(n, bool))
    return master


def write_master(parts: Sequence[Path], master: Path, *, folder: str = "./", reverse: bool = False) -> Path:
    """A file with the header of a whole set and virtual data sets over its ``parts``, as SWIFT writes one.

    ``folder`` goes before the names of the parts, ``reverse`` lists them backwards.
    """
    with h5py.File(master, "w") as out, h5py.File(parts[0]) as first:
        for name in ("Header", "Cosmology", "Units", "HydroScheme"):
            if name in first:
                first.copy(name, out)
        out["Header"].attrs["NumFilesPerSnapshot"] = 1
        out["Header"].attrs["NumPart_ThisFile"] = first["Header"].attrs["NumPart_Total"]
        for kind in [f"PartType{k}" for k in range(7)]:
            pieces: dict[str, list[tuple[str, tuple[int, ...], Any]]] = {}
            for part in parts:
                with h5py.File(part) as file:
                    for name in file.get(kind, ()):
                        dataset = file[kind][name]
                        pieces.setdefault(name, []).append((part.name, dataset.shape, dataset.dtype))
            for name, found in pieces.items():
                starts = np.cumsum([0, *(shape[0] for _, shape, _ in found)])
                layout = h5py.VirtualLayout((starts[-1], *found[0][1][1:]), found[0][2])
                order = list(zip(found, starts, strict=False))
                for (part_name, shape, dtype), start in reversed(order) if reverse else order:
                    source = h5py.VirtualSource(folder + part_name, f"{kind}/{name}", shape, dtype)
                    layout[start : start + shape[0]] = source
                out.create_virtual_dataset(f"{kind}/{name}", layout)
    return master


@dataclass(frozen=True)
class TngSnapshot:
    """A snapshot in IllustrisTNG's layout.

    Parameters
    ----------
    snapshot, offsets
        The first file, and ``offsets_099.hdf5``.
    lengths
        (groups, 6): GroupLenType of the table of groups, whose order is that of ``centres``.
    """

    snapshot: Path
    offsets: Path
    lengths: NDArray[np.int64]


def write_tng(
    folder: str | Path,
    header: SnapshotHeader,
    particles: ParticleData,
    centres: NDArray[np.float64],
    radii: NDArray[np.float64],
    *,
    files: int = 8,
    zooms: bool = False,
    **options: Any,
) -> TngSnapshot:
    """Chunks ``snap_099.N.hdf5`` with the particles of each group together and those of none at the end.

    Parameters
    ----------
    folder
        For the chunks, and ``offsets_099.hdf5``.
    header, particles
        As for `write_hdf5`.
    centres, radii
        (groups, 3) and (groups,) comoving kpc/h: particles within 1.5 radii make the group.
    files
        How many chunks of equal size, so that groups spread over them.
    zooms
        As TNG-Cluster: chunk i holds group i, chunk i + groups what of no group is nearest to it, and all
        low-resolution particles.

    Returns
    -------
    TngSnapshot
        Where its files are.
    """
    folder = Path(folder)
    groups = len(centres)
    ordered: dict[int, dict[str, NDArray[Any]]] = {}
    lengths = np.zeros((groups, 6), np.int64)
    fuzz = np.zeros((groups, 6), np.int64)
    for kind, fields in particles.items():
        apart = np.asarray(fields["position"], np.float64)[:, None] - centres
        apart -= header.box_size * np.round(apart / header.box_size)
        distance = np.linalg.norm(apart, axis=2) / radii
        nearest = distance.argmin(1)
        inside = distance.min(1) < _LINKED
        keys = (nearest, ~inside) if zooms else (np.where(inside, nearest, 0), ~inside)
        ordered[kind] = take(dict(fields), np.lexsort(keys))
        lengths[:, kind] = np.bincount(nearest[inside], minlength=groups)
        fuzz[:, kind] = np.bincount(nearest[~inside], minlength=groups)
    parts = None
    if zooms:
        ends = np.cumsum(np.concatenate([lengths, fuzz]), axis=0)
        starts = ends - np.concatenate([lengths, fuzz])
        parts = [
            {k: take(f, slice(int(a[k]), int(b[k]))) for k, f in ordered.items()}
            for a, b in zip(starts, ends, strict=True)
        ]
        for part in parts[groups:]:
            part |= {kind: dict(particles[kind]) for kind in (2,) if kind in particles}
    written = write_hdf5(
        folder / "snap_099.hdf5",
        header,
        ordered,
        dialect=DIALECTS["arepo"],
        files=files,
        parts=parts,
        **{"position_dtype": np.float64, **options},
    )
    here = []
    for path in written:
        with h5py.File(path) as file:
            here.append(file["Header"].attrs["NumPart_ThisFile"][:6])
    with h5py.File(folder / "offsets_099.hdf5", "w") as file:
        file["FileOffsets/SnapByType"] = np.cumsum([np.zeros(6, np.int64), *here[:-1]], axis=0)
        file["Group/SnapByType"] = np.cumsum(lengths, axis=0) - lengths
    assert np.array_equal(counts(ordered), counts(particles))
    return TngSnapshot(written[0], folder / "offsets_099.hdf5", lengths)
