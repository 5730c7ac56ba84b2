"""Reading a region and cutting halos out of it, against numpy, h5py and pynbody doing the same.

    python -m tools.speed.reading [--particles 10000000] [--halos 16] [--folder DIR] [--json FILE]

A region of gas and dark matter is generated: clusters of 16 different masses over a background, written as
GADGET-4 writes it (contiguous float32 HDF5), with the velocities and identifiers that maps do not need.
Then, with the file in the page cache and in one process, CPU seconds of

- reading the columns that maps need: ``np.fromfile`` of the same bytes into new arrays is the rate to reach;
- 16 cut-outs of 2 R200c of all particles, with all gas fields where the tool makes them.

Peak memory is taken in a process of its own each: what the process grew by, over the bytes of the columns.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.io import spawn_pool, write_json
from three_hundred_maps.simulation.cosmology import MDPL2
from three_hundred_maps.simulation.writers.content import SnapshotHeader
from three_hundred_maps.simulation.writers.hdf5 import write_hdf5
from three_hundred_maps.testing.dialects import DIALECTS
from tools.speed.goals import scratch

COSMOLOGY = MDPL2
BOX = 60_000.0  # comoving kpc/h
GAS_DATA = (
    "InternalEnergy",
    "Density",
    "SmoothingLength",
    "ElectronAbundance",
    "StarFormationRate",
    "Metallicity",
)
COLUMNS = {0: ("Coordinates", "Masses", *GAS_DATA), 1: ("Coordinates", "Masses")}
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
    for name, low, high in (
        ("internal_energy", 1e4, 1e6),
        ("density", 1e-7, 1e-4),
        ("smoothing_length", 5.0, 100.0),
        ("electron_abundance", 1.1, 1.16),
        ("star_formation_rate", 0.0, 0.1),
        ("metallicity", 0.0, 0.01),
    ):
        content[0][name] = rng.uniform(low, high, n).astype(np.float32)
    files = write_hdf5(
        folder / "region.hdf5", SnapshotHeader(0.0, BOX, COSMOLOGY), content, dialect=DIALECTS["gadget4"]
    )
    return Scene(files[0], centres / COSMOLOGY.h, radii / COSMOLOGY.h)


def column_bytes(path: Path) -> int:
    """Bytes of the columns that maps need."""
    with h5py.File(path) as file:
        return sum(file[f"PartType{kind}/{name}"].nbytes for kind, names in COLUMNS.items() for name in names)


def read_numpy(scene: Scene) -> dict[tuple[int, str], NDArray[Any]]:
    """``np.fromfile`` of the columns' bytes, at the offsets where HDF5 keeps them."""
    with h5py.File(scene.path) as file:
        places = {
            (kind, name): (
                file[f"PartType{kind}/{name}"].id.get_offset(),
                file[f"PartType{kind}/{name}"].size,
            )
            for kind, names in COLUMNS.items()
            for name in names
        }
    return {key: np.fromfile(scene.path, np.float32, n, offset=offset) for key, (offset, n) in places.items()}


def read_h5py(scene: Scene) -> dict[tuple[int, str], NDArray[Any]]:
    """The columns as h5py users read them."""
    with h5py.File(scene.path) as file:
        return {(k, name): file[f"PartType{k}/{name}"][:] for k, names in COLUMNS.items() for name in names}


def cut_h5py(columns: dict[tuple[int, str], NDArray[Any]], scene: Scene) -> int:
    """Cut-outs by a mask over all particles."""
    kept = 0
    for centre, radius in zip(scene.centres_kpc, scene.radii_kpc, strict=True):
        for kind, names in COLUMNS.items():
            position = columns[kind, "Coordinates"] - (centre * COSMOLOGY.h).astype(np.float32)
            position -= BOX * np.round(position / BOX)
            inside = np.einsum("ij,ij->i", position, position) <= (2.0 * radius * COSMOLOGY.h) ** 2
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


def cut_pynbody(sim: Any, scene: Scene) -> int:
    """Cut-outs by pynbody's sphere filter over its tree."""
    import pynbody

    kept = 0
    for centre, radius in zip(scene.centres_kpc, scene.radii_kpc, strict=True):
        sphere = pynbody.filt.Sphere(2.0 * radius * COSMOLOGY.h, centre * COSMOLOGY.h)
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
    ours = ("internal_energy", "density", "smoothing_length", "electron_abundance", "star_formation_rate")
    for kind, names in ((0, ("position", "mass", *ours, "metallicity")), (1, ("position", "mass"))):
        for name in names:
            n = source.count(kind)
            columns.append(np.empty((n, 3) if name == "position" else n, np.float32))
            source.read(kind, name, columns[-1], np.zeros(3))
    return columns


def open_region(scene: Scene) -> Any:
    """Our whole reader: columns checked, particles indexed."""
    from three_hundred_maps.simulation.region import Region

    return Region.open(scene.path)


def cut_region(region: Any, scene: Scene) -> int:
    """Our cut-outs, with every field of the gas."""
    kept = 0
    for centre, radius in zip(scene.centres_kpc, scene.radii_kpc, strict=True):
        cutout = region.cutout(centre, 2.0 * radius)
        kept += sum(len(particles) for particles in cutout.particles.values())
    return kept


def cpu_seconds(works: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """The least CPU time of each of several works, taken in turns so that all meet the same conditions."""
    best = dict.fromkeys(works, float("inf"))
    for _ in range(REPEATS):
        for name, work in works.items():
            start = time.process_time()
            held = work()
            best[name] = min(best[name], time.process_time() - start)
            del held
    return best


def _peak() -> int:
    """Peak resident memory of this process in bytes (the usage of `resource` would count the parent's)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("this system does not say how much memory a process took at most")


_READERS: dict[str, tuple[Callable[[Scene], Any], Callable[[Any, Scene], int]]] = {
    "three_hundred_maps": (open_region, cut_region),
    "h5py": (read_h5py, cut_h5py),
    "pynbody": (read_pynbody, cut_pynbody),
}


def _grown(name: str, scene: Scene) -> tuple[int, int]:
    read, cut = _READERS[name]
    with tempfile.TemporaryDirectory() as folder:  # imports and compiled code are not the reader's memory
        small = generate(Path(folder), 20_000, 2)
        cut(read(small), small)
    before = _peak()
    kept = read(scene)
    opened = _peak()
    cut(kept, scene)
    return opened - before, _peak() - before


def peak_bytes(name: str, scene: Scene) -> tuple[int, int]:
    """By how much reading, and then also cutting out, raise the peak memory of a process of their own."""
    with spawn_pool(1) as pool:
        return pool.submit(_grown, name, scene).result()


def run(folder: Path, particles: int, halos: int) -> dict[str, Any]:
    """All measurements, as a dictionary of numbers."""
    scene = generate(folder, particles, halos)
    with tempfile.TemporaryDirectory() as small_folder:
        small = generate(Path(small_folder), 20_000, 2)
        cut_region(open_region(small), small)
        cut_pynbody(read_pynbody(small), small)
    size = column_bytes(scene.path)
    read_numpy(scene)  # into the page cache
    result: dict[str, Any] = {
        "particles": particles,
        "halos": halos,
        "column_bytes": size,
        "read": {},
        "cut": {},
    }
    result["read"] = cpu_seconds(
        {
            "np.fromfile": lambda: read_numpy(scene),
            "three_hundred_maps columns": lambda: open_source_columns(scene),
            "h5py columns": lambda: read_h5py(scene),
            "pynbody columns": lambda: read_pynbody(scene),
            "three_hundred_maps Region (checked, indexed)": lambda: open_region(scene),
        }
    )
    numbers = set()
    for name, (read, cut) in _READERS.items():
        held = read(scene)
        start = time.process_time()
        numbers.add(cut(held, scene))
        result["cut"][name] = time.process_time() - start
        del held
    if max(numbers) - min(numbers) > 1e-5 * max(numbers):
        raise AssertionError(f"the readers cut out different particles: {sorted(numbers)}")
    result["particles_cut_out"] = max(numbers)
    result["peak"] = {name: peak_bytes(name, scene) for name in _READERS}
    return result


def show(result: dict[str, Any]) -> str:
    """The table."""
    size = result["column_bytes"]
    base = result["read"]["np.fromfile"]
    lines = [
        f"{result['particles']:,} particles, {size / 1e6:.0f} MB of columns; "
        f"{result['halos']} cut-outs of 2 R200c hold {result['particles_cut_out']:,} particles",
        f"{'reading':<48}{'CPU s':>8}{'GB/s':>8}{'of np.fromfile':>16}",
    ]
    for name, seconds in result["read"].items():
        lines.append(f"{name:<48}{seconds:>8.3f}{size / seconds / 1e9:>8.2f}{base / seconds:>15.0%}")
    lines.append(f"{'cut-outs (all of them)':<48}{'CPU s':>8}")
    lines += [f"{name:<48}{seconds:>8.3f}" for name, seconds in result["cut"].items()]
    lines.append(f"{'peak memory over the columns':<48}{'open':>8}{'cut out':>9}")
    for name, (opened, after) in result["peak"].items():
        lines.append(f"{name:<48}{opened / size:>8.2f}{after / size:>9.2f}")
    return "\n".join(lines)


def main() -> None:
    """Command line: measure and print; ``--json`` keeps the numbers."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--particles", type=int, default=10_000_000)
    parser.add_argument("--halos", type=int, default=16)
    parser.add_argument(
        "--folder", type=Path, default=None, help="where the region is written (1.0 GB at 1e7)"
    )
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    with scratch(options.folder) as folder:
        result = run(folder, options.particles, options.halos)
    print(show(result))
    if options.json is not None:
        write_json(options.json, result)


if __name__ == "__main__":
    main()
