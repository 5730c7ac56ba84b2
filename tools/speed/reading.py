"""Reading a region and cutting halos out of it, against numpy, h5py and pynbody doing the same.

    python -m tools.speed.reading [--particles 10000000] [--halos 16] [--scratch DIR] [--json FILE]

A region of gas and dark matter is generated: clusters of 16 different masses over a background, written as
GADGET-4 writes it (contiguous float32 HDF5), with the velocities and identifiers that maps do not need.
Then, with the file in the page cache and in one process, CPU seconds of

- reading the columns that maps need: ``np.fromfile`` of the same bytes into new arrays is the rate to reach;
- 16 cut-outs of 2 R200c of all particles, with all gas fields where the tool makes them.

Peak memory is taken in a process of its own each: what the process grew by, over the bytes of the columns.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.simulation.cosmology import MDPL2
from three_hundred_maps.simulation.writers.content import SnapshotHeader
from three_hundred_maps.simulation.writers.hdf5 import write_hdf5
from three_hundred_maps.testing.dialects import DIALECTS
from tools.speed.report import Report, apart, least, peak_bytes, run, spent

COSMOLOGY = MDPL2
BOX = 60_000.0  # comoving kpc/h
GAS = {
    "internal_energy": ("InternalEnergy", 1e4, 1e6),
    "density": ("Density", 1e-7, 1e-4),
    "smoothing_length": ("SmoothingLength", 5.0, 100.0),
    "electron_abundance": ("ElectronAbundance", 1.1, 1.16),
    "star_formation_rate": ("StarFormationRate", 0.0, 0.1),
    "metallicity": ("Metallicity", 0.0, 0.01),
}
"""The gas's own columns: name in the file, least and largest value."""
COLUMNS = {0: ("Coordinates", "Masses", *(name for name, _, _ in GAS.values())), 1: ("Coordinates", "Masses")}
REPEATS = 7


@dataclass(frozen=True)
class Scene:
    """The generated region: its file, and the halos to cut out (proper kpc; z = 0)."""

    path: Path
    centres_kpc: NDArray[np.float64]
    radii_kpc: NDArray[np.float64]


def generate(folder: Path, particles: int, halos: int) -> Scene:
    """Write a region of ``particles``, half gas and half dark matter, 7 of 10 of them in the halos."""
    rng = np.random.default_rng(4)
    centres = rng.uniform(0.15 * BOX, 0.85 * BOX, (halos, 3))
    radii = np.geomspace(1400.0, 700.0, halos)
    content: dict[int, dict[str, NDArray[Any]]] = {}
    n = particles // 2
    for kind in (0, 1):
        position = rng.uniform(0.0, BOX, (n, 3)).astype(np.float32)
        of = np.repeat(np.arange(halos), int(0.7 * n) // halos)
        r = radii[of] * 3.0 * rng.random(len(of)) ** 1.5
        direction = rng.normal(size=(len(of), 3))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        position[: len(of)] = centres[of] + direction * r[:, None]
        rng.shuffle(position)  # files are not sorted by halo
        content[kind] = {
            "position": position,
            "velocity": rng.normal(0.0, 500.0, (n, 3)).astype(np.float32),
            "id": np.arange(n, dtype=np.uint32) + n * kind,
            "mass": np.full(n, 0.1 if kind else 0.02, np.float32),
        }
    for name, (_, low, high) in GAS.items():
        content[0][name] = rng.uniform(low, high, n).astype(np.float32)
    files = write_hdf5(
        folder / "region.hdf5", SnapshotHeader(0.0, BOX, COSMOLOGY), content, dialect=DIALECTS["gadget4"]
    )
    return Scene(files[0], centres / COSMOLOGY.h, radii / COSMOLOGY.h)


def columns_of(file: h5py.File) -> dict[tuple[int, str], h5py.Dataset]:
    """The columns that maps need."""
    return {(kind, name): file[f"PartType{kind}/{name}"] for kind, names in COLUMNS.items() for name in names}


def read_numpy(scene: Scene) -> dict[tuple[int, str], NDArray[Any]]:
    """``np.fromfile`` of the columns' bytes, at the offsets where HDF5 keeps them."""
    with h5py.File(scene.path) as file:
        places = {key: (column.id.get_offset(), column.size) for key, column in columns_of(file).items()}
    return {key: np.fromfile(scene.path, np.float32, n, offset=offset) for key, (offset, n) in places.items()}


def read_h5py(scene: Scene) -> dict[tuple[int, str], NDArray[Any]]:
    """The columns as h5py users read them."""
    with h5py.File(scene.path) as file:
        return {key: column[:] for key, column in columns_of(file).items()}


def cut_h5py(columns: dict[tuple[int, str], NDArray[Any]], centre: NDArray[np.float64], radius: float) -> int:
    """A cut-out by a mask over all particles."""
    kept = 0
    for kind, names in COLUMNS.items():
        position = columns[kind, "Coordinates"] - (centre * COSMOLOGY.h).astype(np.float32)
        position -= BOX * np.round(position / BOX)
        inside = np.einsum("ij,ij->i", position, position) <= (radius * COSMOLOGY.h) ** 2
        cut = {name: columns[kind, name][inside] for name in names}
        kept += len(cut["Masses"])
    return kept


def read_pynbody(scene: Scene) -> Any:
    """The columns by pynbody, in its own units."""
    import pynbody

    sim = pynbody.load(str(scene.path))
    for family, kind in ((sim.gas, 0), (sim.dm, 1)):
        names = ["pos", "mass", "u", "rho", "smooth", "ElectronAbundance", "StarFormationRate", "metals"]
        for name in names[: 2 if kind else None]:
            if name in family.loadable_keys() or name in ("pos", "mass"):
                family[name]
    return sim


def cut_pynbody(sim: Any, centre: NDArray[np.float64], radius: float) -> int:
    """A cut-out by pynbody's sphere filter over its tree."""
    import pynbody

    sphere = pynbody.filt.Sphere(radius * COSMOLOGY.h, centre * COSMOLOGY.h)
    kept = 0
    for family in (sim.gas, sim.dm):
        cut = family[sphere]
        kept += len(np.asarray(cut["mass"]))
        np.asarray(cut["pos"])
    return kept


def open_source_columns(scene: Scene) -> list[NDArray[np.float32]]:
    """Our reader alone: headers checked and columns read, nothing indexed."""
    from three_hundred_maps.simulation.readers.snapshot import open_source

    source = open_source(scene.path)
    columns = []
    for kind, names in ((0, ("position", "mass", *GAS)), (1, ("position", "mass"))):
        for name in names:
            n = source.count(kind)
            columns.append(np.empty((n, 3) if name == "position" else n, np.float32))
            source.read(kind, name, columns[-1], np.zeros(3))
    return columns


def open_region(scene: Scene) -> Any:
    """Our whole reader: columns checked, particles indexed."""
    from three_hundred_maps.simulation.region import Region

    return Region.open(scene.path)


def cut_region(region: Any, centre: NDArray[np.float64], radius: float) -> int:
    """Our cut-out, with every field of the gas."""
    return sum(len(particles) for particles in region.cutout(centre, radius).particles.values())


READERS: dict[str, tuple[Callable[[Scene], Any], Callable[[Any, NDArray[np.float64], float], int]]] = {
    "three_hundred_maps": (open_region, cut_region),
    "h5py": (read_h5py, cut_h5py),
    "pynbody": (read_pynbody, cut_pynbody),
}


def cut_out(name: str, held: Any, scene: Scene) -> int:
    """Cut every halo out to 2 R200c; the number of particles."""
    cut = READERS[name][1]
    spheres = zip(scene.centres_kpc, scene.radii_kpc, strict=True)
    return sum(cut(held, centre, 2.0 * float(radius)) for centre, radius in spheres)


def read_and_cut_small(name: str) -> None:
    """Import and compile all that a reader needs: neither its time nor its memory is to hold that."""
    with tempfile.TemporaryDirectory() as folder:
        small = generate(Path(folder), 20_000, 2)
        cut_out(name, READERS[name][0](small), small)


def grown(name: str, scene: Scene) -> list[int]:
    """By how many bytes reading, and then also cutting out, raise the peak memory of this process."""
    read_and_cut_small(name)
    before = peak_bytes()
    kept = READERS[name][0](scene)
    opened = peak_bytes()
    cut_out(name, kept, scene)
    return [opened - before, peak_bytes() - before]


def measure(report: Report, particles: int = 10_000_000, halos: int = 16) -> None:
    """Reading, cutting out and peak memory, each beside the peers; the region takes 1.0 GB at 1e7."""
    scene = generate(report.folder, particles, halos)
    for name in READERS:
        read_and_cut_small(name)
    size = sum(column.nbytes for column in read_numpy(scene).values())  # and into the page cache
    reading = least(
        {
            "np.fromfile": lambda: read_numpy(scene),
            "three_hundred_maps columns": lambda: open_source_columns(scene),
            "h5py columns": lambda: read_h5py(scene),
            "pynbody columns": lambda: read_pynbody(scene),
            "three_hundred_maps Region (checked, indexed)": lambda: open_region(scene),
        },
        REPEATS,
    )
    cuts = {name: spent(partial(cut_out, name, read(scene), scene)) for name, (read, _) in READERS.items()}
    cutting = {name: took.cpu_s for name, took in cuts.items()}
    kept = {name: took.value for name, took in cuts.items()}
    most = max(kept.values())
    if most - min(kept.values()) > 1e-5 * most:
        raise AssertionError(f"the readers cut out different particles: {kept}")
    peak = {name: apart(grown, name, scene) for name in READERS}
    report.numbers |= {"particles": particles, "halos": halos, "column_bytes": size, "read": reading}
    report.numbers |= {"cut": cutting, "particles_cut_out": most, "peak": peak}
    print(
        f"{particles:,} particles, {size / 1e6:.0f} MB of columns; "
        f"{halos} cut-outs of 2 R200c hold {most:,} particles"
    )
    base = reading["np.fromfile"]
    report.table(
        "reading",
        {"CPU s": ".3f", "GB/s": ".2f", "of np.fromfile": ".0%"},
        {name: [seconds, size / seconds / 1e9, base / seconds] for name, seconds in reading.items()},
    )
    report.table("cut-outs (all of them)", {"CPU s": ".3f"}, cutting)
    report.table(
        "peak memory over the columns",
        {"open": ".2f", "cut out": ".2f"},
        {name: [grew / size for grew in both] for name, both in peak.items()},
    )


if __name__ == "__main__":
    run(measure)
