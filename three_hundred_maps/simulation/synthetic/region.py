"""One region from seed to files: dark matter, then the flavour's baryons, then the catalogue."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.errors import InputError
from three_hundred_maps.simulation.synthetic.catalogue import catalogue_columns, file_length
from three_hundred_maps.simulation.synthetic.dark_matter import Cloud, Halo, make_dark_matter
from three_hundred_maps.simulation.synthetic.feedback import Code
from three_hundred_maps.simulation.synthetic.gas import NEIGHBOURS, GasPart, make_gas
from three_hundred_maps.simulation.synthetic.setup import (
    BOX_KPC_H,
    CENTRE_KPC_H,
    COSMOLOGY,
    GENERATOR_VERSION,
    TODAY,
    Epoch,
    Flavour,
    H,
    Resolution,
    check_flavour,
    check_resolution,
    generators,
)
from three_hundred_maps.simulation.synthetic.stars import black_holes, make_stars
from three_hundred_maps.simulation.synthetic.universe import draw_plan
from three_hundred_maps.simulation.tables import take
from three_hundred_maps.simulation.writers.ahf import write_ahf
from three_hundred_maps.simulation.writers.content import SnapshotHeader
from three_hundred_maps.simulation.writers.gadget_binary import write_gadget
from three_hundred_maps.simulation.writers.hdf5 import write_hdf5
from three_hundred_maps.units import BOLTZMANN_ERG_PER_K, KM_CM, PROTON_MASS_G

Format = Literal["hdf5", "gadget2"]
FORMATS: tuple[Format, ...] = ("hdf5", "gadget2")
DEFAULT_FORMAT: dict[Flavour, Format] = {
    "gadgetx": "gadget2", "gizmo": "hdf5", "simba-strong": "hdf5", "hypercube": "hdf5",
}  # fmt: skip
"""Each flavour in its code's own form."""
_CATALOGUE_PREFIX: dict[Flavour, str] = {
    "gadgetx": "GadgetX", "gizmo": "GIZMO", "simba-strong": "SimbaStrong", "hypercube": "Hypercube",
}  # fmt: skip
_HELIUM = 0.24

Fields = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class RegionFiles:
    """The files of one region: snapshot and AHF catalogue."""

    snapshot: Path
    catalogue: Path


@dataclass(frozen=True)
class RegionData:
    """A region in memory: particles by Gadget type as the writers take them, and its catalogue."""

    flavour: Flavour
    resolution: Resolution
    seed: int
    region: int
    epoch: Epoch
    halos: list[Halo]
    particles: dict[int, Fields]
    catalogue: dict[str, NDArray[Any]]


def check_format(format: str | None, flavour: Flavour) -> Format:
    """The named format, by default the flavour's own."""
    chosen = DEFAULT_FORMAT[flavour] if format is None else format
    if chosen not in FORMATS:
        raise InputError(f"format {format!r} is unknown: one of {', '.join(FORMATS)}")
    return chosen


def region_name(region: int) -> str:
    """The Three Hundred's name of a region's folder."""
    return f"NewMDCLUSTER_{region:04d}"


def region_files(
    out: Path, region: int, flavour: Flavour, format: Format, epoch: Epoch = TODAY
) -> RegionFiles:
    """Where the files of a region lie under ``out``."""
    folder = out / region_name(region)
    suffix = ".hdf5" if format == "hdf5" else ""
    number = f"{epoch.snapshot:03d}"
    name = f"{_CATALOGUE_PREFIX[flavour]}-{region_name(region)}.snap_{number}.z{epoch.redshift:.3f}.AHF_halos"
    return RegionFiles(folder / f"snap_{number}{suffix}", folder / name)


def _common(cloud: Cloud, mass_msun: float | NDArray[np.float64], first_id: int, epoch: Epoch) -> Fields:
    n = len(cloud)
    position = cloud.position.astype(np.float64) * file_length(epoch) + CENTRE_KPC_H
    return {
        "position": position.astype(np.float32),
        "velocity": cloud.velocity,
        "id": np.arange(first_id, first_id + n, dtype=np.uint32),
        "mass": np.full(n, mass_msun * H / 1e10, np.float32),
    }


def _gas_fields(gas: GasPart, code: Code, resolution: Resolution, first_id: int, epoch: Epoch) -> Fields:
    fields = _common(gas.cloud, resolution.gas, first_id, epoch)
    z = np.clip(gas.metallicity, 1e-6, 0.06)
    hydrogen = 1.0 - _HELIUM - z
    ionised = np.clip((np.log10(gas.temperature) - 3.9) / 0.6, 0.0, 1.0)
    neutral = 1.0 - ionised
    y_he = _HELIUM / (4.0 * hydrogen)
    electrons = ionised * (1.0 + 2.0 * y_he)
    weight = (1.0 + 4.0 * y_he) / (1.0 + y_he + electrons)
    energy = 1.5 * BOLTZMANN_ERG_PER_K * gas.temperature / (weight * PROTON_MASS_G) / KM_CM**2
    radius = np.cbrt(3.0 * NEIGHBOURS[code] * resolution.gas / (4.0 * np.pi * gas.density))
    fields |= {
        "internal_energy": energy.astype(np.float32),
        "density": (gas.density * epoch.scale**3 / (1e10 * H**2)).astype(np.float32),
        "electron_abundance": electrons.astype(np.float32),
        "neutral_fraction": neutral.astype(np.float32),
        "smoothing_length": (np.minimum(radius, 3e3) * file_length(epoch)).astype(np.float32),
        "star_formation_rate": gas.star_formation.astype(np.float32),
        "metallicity": z.astype(np.float32),
        "helium_fraction": np.full(len(gas), _HELIUM, np.float32),
        "temperature": gas.temperature.astype(np.float32),
    }
    if code == "gizmo":
        fields["delay_time"] = np.where(gas.wind, 0.02, 0.0).astype(np.float32)
    return fields


def _one_of_each(n: int, merge: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Rising indices into ``n`` particles: one of each ``merge`` neighbours in their order.

    Neighbours are of one satellite, or of one radius of a smooth halo: mass profiles stay what they are.
    """
    first = np.arange(0, n - n % merge, merge)
    return first + rng.integers(0, merge, len(first))


def _counts_of(
    kept: NDArray[np.int64], counts: list[NDArray[np.int64]], others: list[int]
) -> list[NDArray[np.int64]]:
    """How many of the ``kept`` belong to each satellite, halo by halo.

    ``counts`` are the satellites' particles before, which stand first of a halo's; ``others`` those after.
    """
    result, start = [], 0
    for own, rest in zip(counts, others, strict=True):
        bounds = start + np.concatenate([[0], np.cumsum(own)])
        result.append(np.diff(np.searchsorted(kept, bounds)))
        start = int(bounds[-1]) + rest
    return result


def make_region(
    seed: int, region: int, flavour: Flavour, resolution: str = "light", redshift: float = 0.0
) -> RegionData:
    """A region in memory.

    Parameters
    ----------
    seed, region
        Base seed and number of the region (>= 1); regions are independent of one another.
    flavour
        ``gadgetx``, ``gizmo``, ``simba-strong`` or ``hypercube``: same dark matter, other baryons.
    resolution
        ``light``, ``full`` or ``coarse``.
    redshift
        Of the snapshot, 0 to 1.

    Raises
    ------
    InputError
        For a negative seed, a region below 1, an unknown flavour or resolution, a redshift outside 0 to 1.
    """
    number, masses = check_flavour(flavour), check_resolution(resolution)
    plan = draw_plan(seed, region, redshift)
    epoch = plan.epoch
    dark = make_dark_matter(plan, masses, flavour)
    halos = dark.halos

    def streams(halo: int, blocks: int, flavour: int = 0) -> list[np.random.Generator]:
        return generators(seed, region, halo, blocks, flavour, epoch.snapshot)

    # Shared streams: what is drawn of the baryons once for all flavours.
    shared = [streams(i + 1, 8)[6:] for i in range(len(halos))]
    own = [streams(i + 1, 6, number) for i in range(len(halos))]
    between, rng_stars = streams(len(halos) + 1, 2, number)
    stars = make_stars(halos, flavour, masses, [rngs[4] for rngs in own], [rngs[0] for rngs in shared])
    gas, gas_counts = make_gas(
        plan,
        halos,
        stars.particles,
        stars.galaxies,
        flavour,
        masses,
        own,
        [rngs[1] for rngs in shared],
        between,
    )
    holes, hole_mass = black_holes(stars.galaxies)
    particle = masses.written()
    dark_counts, star_counts = [np.array(halo.members, np.int64) for halo in halos], stars.satellite_counts
    if masses.merge > 1:
        kept = _one_of_each(len(dark.particles), masses.merge, streams(0, 6)[5])
        dark_counts = _counts_of(kept, dark_counts, [len(h.satellites.stream_parent) for h in halos])
        dark = replace(dark, particles=take(dark.particles, kept))
        kept = _one_of_each(len(stars.particles), masses.merge, rng_stars)
        star_counts = _counts_of(kept, star_counts, stars.debris_counts)
        stars = replace(
            stars,
            particles=take(stars.particles, kept),
            mass=np.add.reduceat(stars.mass, masses.merge * np.arange(len(kept))),
            formation=stars.formation[kept],
            metallicity=stars.metallicity[kept],
        )

    particles: dict[int, Fields] = {}
    next_id = 1
    for kind, cloud, mass in (
        (1, dark.particles, particle.dark_matter),
        (2, *dark.low_resolution[0]),
        (3, *dark.low_resolution[1]),
    ):
        particles[kind] = _common(cloud, mass, next_id, epoch)
        next_id += len(cloud)
    particles[0] = _gas_fields(gas, halos[0].feedback.code, masses, next_id, epoch)
    next_id += len(gas)
    particles[4] = _common(stars.particles, stars.mass, next_id, epoch)
    particles[4] |= {
        "formation_time": stars.formation,
        "metallicity": stars.metallicity,
        "helium_fraction": np.full(len(stars.particles), _HELIUM, np.float32),
    }
    next_id += len(stars.particles)
    particles[5] = _common(holes, hole_mass, next_id, epoch)
    order = sorted(particles)
    del gas, dark
    columns = catalogue_columns(
        particles, halos, dark_counts, star_counts, gas_counts,
        (particle.dark_matter, particle.gas, particle.star),
    )  # fmt: skip
    return RegionData(
        flavour, particle, int(seed), int(region), epoch, halos, {k: particles[k] for k in order}, columns
    )


def write_region(out: str | Path, data: RegionData, *, format: str | None = None) -> RegionFiles:
    """Write a region that is in memory; see `simulate_region`."""
    chosen = check_format(format, data.flavour)
    files = region_files(Path(out), data.region, data.flavour, chosen, data.epoch)
    header = SnapshotHeader(
        redshift=data.epoch.redshift,
        box_size=BOX_KPC_H,
        cosmology=COSMOLOGY,
        extra={
            "Synthetic": np.int32(1),
            "SyntheticVersion": np.int32(GENERATOR_VERSION),
            "SyntheticSeed": np.uint64(data.seed & 0xFFFFFFFFFFFFFFFF),
            "SyntheticRegion": np.int32(data.region),
            "SyntheticFlavour": data.flavour,
        },
    )
    if chosen == "hdf5":
        write_hdf5(files.snapshot, header, data.particles)
    else:
        write_gadget(files.snapshot, header, data.particles, format=2)
    write_ahf(files.catalogue, data.catalogue)
    return files


def simulate_region(
    out: str | Path,
    *,
    seed: int,
    region: int,
    flavour: Flavour = "gadgetx",
    resolution: str = "light",
    format: str | None = None,
    redshift: float = 0.0,
) -> RegionFiles:
    """Simulate one region and write its snapshot and AHF catalogue.

    Parameters
    ----------
    out
        Folder; the region's own folder ``NewMDCLUSTER_0001`` is made in it. Files of the same region, flavour
        and format are replaced, each atomically.
    seed, region, flavour, resolution, redshift
        See `make_region`.
    format
        ``hdf5`` (GIZMO-SIMBA's fields) or ``gadget2`` (GADGET-X's blocks); by default the flavour's own.

    Returns
    -------
    RegionFiles
        Paths of the snapshot and the catalogue.

    Raises
    ------
    InputError
        For a negative seed, a region below 1, an unknown flavour, resolution or format, a redshift outside
        0 to 1.
    """
    check_flavour(flavour)
    chosen = check_format(format, flavour)
    data = make_region(seed, region, flavour, resolution, redshift)
    return write_region(out, data, format=chosen)
