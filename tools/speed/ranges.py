"""One cluster of a snapshot that is larger than memory: bytes read, time and memory.

    python -m tools.speed.ranges [--particles 100000000] [--files 64] [--scratch DIR]

A box is generated in IllustrisTNG's layout: a third of it gas; groups one after the other from the most
massive, then what is in no group in the order of a coarse grid; cut into files of equal size; positions in
double precision. It is opened once to make its index. Then, in a new process each, groups are cut out to
2.5 R200c, and the bytes that the process asked the system for are compared with those of the cluster's own
columns; compiled kernels are loaded before.
"""

from __future__ import annotations

import time
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.simulation.cell_grid import CellGrid
from three_hundred_maps.simulation.cosmology import MDPL2
from three_hundred_maps.simulation.region import Region
from three_hundred_maps.simulation.writers.content import SnapshotHeader
from three_hundred_maps.simulation.writers.hdf5 import SetMember
from three_hundred_maps.testing.dialects import DIALECTS
from tools.speed.report import Report, apart, peak_bytes, run, wall_s

BOX = 200_000.0  # comoving kpc/h
SHARES = {0: 0.34, 1: 0.6, 4: 0.06}
GROUPS = 400
GROUPED = 0.4
"""Of the particles."""
REACH = 2.5
GAS = ("Masses", "InternalEnergy", "Density", "ElectronAbundance", "StarFormationRate", "GFM_Metallicity")


def layout() -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Centres, R200c (comoving kpc/h) and shares of the grouped particles of every group."""
    rng = np.random.default_rng(3)
    share = np.arange(1.0, GROUPS + 1.0) ** -0.9
    share = share / share.sum()
    radius = np.asarray(2000.0 * np.cbrt(share / share[0]), np.float64)
    return rng.uniform(0.0, BOX, (GROUPS, 3)), radius, share


def generate(folder: Path, particles: int, files: int) -> None:
    """Write the snapshot file by file."""
    centre, radius, share = layout()
    header = SnapshotHeader(0.0, BOX, MDPL2, (0.0, 0.05, 0.0, 0.0, 0.0, 0.0))
    total = np.array([int(SHARES.get(kind, 0.0) * particles) for kind in range(6)])
    side = 32
    for part in range(files):
        rng = np.random.default_rng(part)
        here = total * (part + 1) // files - total * part // files
        with h5py.File(folder / f"snap_099.{part}.hdf5", "w") as file:
            DIALECTS["arepo"].write_header(file, header, SetMember(here, total, part, files))
            for kind, all_of_kind in enumerate(total):
                rows = np.arange(all_of_kind * part // files, all_of_kind * (part + 1) // files)
                if not len(rows):
                    continue
                grouped = int(GROUPED * all_of_kind)
                ends = (np.cumsum(share) * grouped).astype(int)
                group = np.searchsorted(ends, rows, side="right").clip(0, GROUPS - 1)
                r = radius[group] * rng.beta(1.2, 1.5, len(rows)) * 2.0
                direction = rng.normal(size=(len(rows), 3))
                direction *= (r / np.linalg.norm(direction, axis=1))[:, None]
                position = centre[group] + direction
                loose = rows >= grouped
                cell = (rows - grouped) * side**3 // max(all_of_kind - grouped, 1)
                corner = np.stack(np.unravel_index(cell.clip(0, side**3 - 1), (side,) * 3), 1)
                spread = (corner + rng.random((len(rows), 3))) * (BOX / side)
                position = np.where(loose[:, None], spread, position) % BOX
                where = file.create_group(f"PartType{kind}")
                where["Coordinates"] = position
                where["Velocities"] = np.zeros((len(rows), 3), np.float32)
                where["ParticleIDs"] = rows
                if kind == 0:
                    for name in GAS:
                        where[name] = np.full(len(rows), 0.01, np.float32)
                    where["InternalEnergy"][:] = 1e5
                if kind == 4:
                    where["Masses"] = np.full(len(rows), 0.01, np.float32)
                    where["GFM_StellarFormationTime"] = np.full(len(rows), 0.5, np.float32)


def bytes_asked() -> int:
    """Bytes that this process has read so far, from the disk or not."""
    text = Path("/proc/self/io").read_text()
    return int(text.split("rchar: ")[1].split()[0])


def cut(path: Path, index: Path, centre: NDArray[np.float64], radius: float) -> dict[str, float]:
    """Open the snapshot, cut one group out, and what that took."""
    grid = CellGrid.build(np.zeros((8, 3), np.float32))
    grid.relative(grid.within(np.zeros(3), 1.0, 4.0), np.zeros(3), 4.0, 1.0)
    before, start = bytes_asked(), time.perf_counter()
    region = Region.open(path, whole=False, index_folder=index)
    opened, opening = bytes_asked(), time.perf_counter()
    cutout = region.cutout(centre, radius)
    end, after = time.perf_counter(), bytes_asked()
    each = {"gas": 24 + 4 * len(GAS), "dark_matter": 24, "stars": 24 + 8}
    own = sum(each[name] * len(cutout[name]) for name in each)
    return {
        "particles": sum(len(cutout[name]) for name in each),
        "own_mb": own / 1e6,
        "read": (after - opened) / own,
        "read_with_opening": (after - before) / own,
        "opening_s": opening - start,
        "cut_s": end - opening,
        "memory_gb": peak_bytes() / 1e9,
    }


def measure(report: Report, particles: int = 100_000_000, files: int = 64) -> None:
    """Generate, index, cut."""
    path = report.folder / "snap_099.0.hdf5"
    seconds = wall_s(lambda: generate(report.folder, particles, files))
    size = sum(p.stat().st_size for p in report.folder.iterdir())
    print(f"{size / 1e9:.2f} GB in {files} files, made in {seconds:.0f} s")
    centre, radius, _ = layout()
    found = {}
    for label, group in (("index, then largest", 0), ("largest", 0), ("100th", 99), ("400th", 399)):
        sphere = centre[group] / MDPL2.h, REACH * float(radius[group]) / MDPL2.h
        found[label] = apart(cut, path, report.folder / "index", *sphere)
    report.table(
        "a group", dict.fromkeys(found["largest"], ".3g"), {k: [*v.values()] for k, v in found.items()}
    )
    report.numbers |= found


if __name__ == "__main__":
    run(measure)
