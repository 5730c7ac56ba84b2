"""Does a catalogue belong to a snapshot? Halos measured from the particles against the catalogue's own.

A wrong unit shows as a factor of 1000 or of h, in the masses or in where the halos lie: it is named, with
the key of the recipe that mends it.
"""

from __future__ import annotations

from itertools import islice

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.errors import InputError
from three_hundred_maps.simulation.catalogues.halos import Halos
from three_hundred_maps.simulation.measure import TooSmallCutout, measure
from three_hundred_maps.simulation.particles import SPECIES, Cutout
from three_hundred_maps.simulation.readers.source import LENGTH_UNITS, unit_ratio
from three_hundred_maps.simulation.region import Region

LARGEST_DISAGREEMENT = 0.05
"""Of M200c between particles and catalogue, above which a halo is reported."""

LARGEST_OFFSET = 0.1
"""In R200c, between a catalogue's centre and the densest point, above which a halo is reported."""

_CONTRAST = 20.0
"""Density inside halos over the region's mean: several hundred where they are, near one anywhere else."""

_OTHER_SIMULATION = 2.0
"""Factor between the masses above which a catalogue cannot be of these particles, whatever its definition."""


def mass_disagreement(measured_msun: float, catalogue_msun: float) -> str | None:
    """What to report of a halo whose M200c disagrees by more than 5 %; None where it agrees."""
    difference = measured_msun / catalogue_msun - 1.0
    if abs(difference) <= LARGEST_DISAGREEMENT:
        return None
    return (
        f"M200c {measured_msun:.3e} Msun from particles, {catalogue_msun:.3e} in the catalogue "
        f"({difference:+.0%})"
    )


def check_catalogue(region: Region, halos: Halos, *, most: int = 5) -> list[str]:
    """Measure the most massive distinct halos and compare.

    Parameters
    ----------
    region, halos
        A snapshot and its catalogue.
    most
        How many halos are measured.

    Returns
    -------
    list of str
        One line for each measured halo whose M200c disagrees by more than 5 %, and one for each whose centre
        is more than a tenth of R200c away from the densest point.

    Raises
    ------
    InputError
        Where the catalogue is of another simulation, or in other units: which, where that can be told.
    """
    distinct = np.flatnonzero(halos.distinct)
    if not len(distinct):
        raise InputError("the catalogue has no distinct halo: every one lies in another")
    resolved = distinct[halos.f_high_resolution[distinct] >= 0.99]
    distinct = resolved if len(resolved) else distinct
    massive = distinct[np.argsort(-halos.M200c_msun[distinct], kind="stable")]
    here = (
        row for row in massive if region.absent(halos.centre_kpc[row], 4.0 * halos.R200c_kpc[row]) is None
    )
    first = list(islice(here, most))
    if not first:
        raise InputError("every halo has particles in files of the snapshot that are not here")
    chosen = halos.select(np.array(first))
    measured = np.array([_measured(region, chosen, row) for row in range(len(chosen))])
    found = np.isfinite(measured)
    ratio = (
        float(np.median(measured[found] / chosen.M200c_msun[found])) if 2 * found.sum() > len(found) else None
    )
    if ratio is None or not 1.0 / _OTHER_SIMULATION < ratio < _OTHER_SIMULATION or _near_h(region, ratio):
        raise InputError(_explain(region, chosen, ratio))
    notes = []
    for row, mass in enumerate(measured):
        halo = f"halo {chosen.halo_id[row]}"
        if not found[row]:
            notes.append(f"{halo}: no halo in the particles at the catalogue's centre")
            continue
        radius = float(chosen.R200c_kpc[row])
        said = (
            mass_disagreement(float(mass), float(chosen.M200c_msun[row])),
            centre_disagreement(region.cutout(chosen.centre_kpc[row], radius), radius),
        )
        notes += [f"{halo}: {text}" for text in said if text is not None]
    return notes


def centre_disagreement(cutout: Cutout, R200c_kpc: float) -> str | None:
    """What to report of a halo whose centre is not its densest point; None where it is.

    The densest point is where a sphere ends that shrinks about the centre of its mass (Power et al. 2003).
    """
    position = np.concatenate([cutout[name].position for name in SPECIES]).astype(np.float64)
    mass = np.concatenate([cutout[name].mass for name in SPECIES]).astype(np.float64)

    def within(centre: NDArray[np.float64], radius: float) -> NDArray[np.bool_]:
        return np.asarray(((position - centre) ** 2).sum(1) < radius**2)

    centre, radius = np.zeros(3), R200c_kpc
    while radius > 0.05 * R200c_kpc and np.count_nonzero(inside := within(centre, radius)) > 50:
        centre = np.average(position[inside], axis=0, weights=mass[inside])
        radius *= 0.9
    offset = float(np.linalg.norm(centre))
    core = 0.1 * R200c_kpc
    denser = mass[within(centre, core)].sum() > 1.5 * mass[within(np.zeros(3), core)].sum()
    if offset <= LARGEST_OFFSET * R200c_kpc or not denser:
        return None
    return (
        f"the catalogue's centre is {offset:.0f} kpc ({offset / R200c_kpc:.2f} R200c) away from the densest "
        "point of the particles"
    )


def _near_h(region: Region, ratio: float) -> bool:
    h = region.info.cosmology.h
    return min(abs(ratio / h - 1.0), abs(ratio * h - 1.0)) < 0.03 and abs(ratio - 1.0) > 0.1


def _explain(region: Region, halos: Halos, ratio: float | None) -> str:
    """Which unit is wrong: the lengths, where particles are dense once halos are moved, else the masses."""
    factors = _length_factors(region)
    contrast = {words: _contrast(region, halos, factor) for words, factor in factors.items()}
    best = max(contrast, key=lambda words: contrast[words])
    if contrast[best] > max(_CONTRAST, 3.0 * _contrast(region, halos, 1.0)):
        return _wrong_length(region, best, factors[best])
    if ratio is None:
        return (
            "the particles have no halos at the catalogue's centres: it is of another simulation, snapshot "
            "or region"
        )
    h = region.info.cosmology.h
    for words, factor in {
        "1e10 too small: they seem to be in 1e10 Msun/h": 1e10,
        "1000 too large": 1e-3,
        "1000 too small": 1e3,
    }.items():
        if abs(ratio / factor - 1.0) < 0.1:
            return f"the catalogue's masses are a factor {words} (particles over catalogue: {ratio:.3g})"
    gives = f"the particles give {ratio:.3g} times the catalogue's masses"
    critical = region.info.cosmology.critical_density_msun_kpc3(region.info.redshift)
    mean = halos.M200c_msun / (4.0 / 3.0 * np.pi * halos.R200c_kpc**3)
    overdensity = float(np.median(mean)) / critical
    definition = "they are of another definition than M200c"
    if abs(overdensity / 200.0 - 1.0) > 0.1:
        definition += (
            f" (their mean density inside the catalogue's radius is {overdensity:.0f} times the critical)"
        )
    if _near_h(region, ratio):
        read = "in Msun, and are read as Msun/h" if ratio < 1.0 else "in Msun/h, and are read as Msun"
        if min(abs(overdensity * ratio / 200.0 - 1.0), abs(overdensity / 200.0 - 1.0)) < 0.1:
            return f"{gives}, with h = {h:.4g}: they seem to be {read}, or {definition}"
    if 1.0 / 3.0 < ratio < 3.0:
        return f"{gives}: {definition}, of another simulation, or in other units"
    return f"{gives}: it is of another simulation or in other units"


def _length_factors(region: Region) -> dict[str, float]:
    """What the catalogue's lengths may have to be multiplied by, and how that is said."""
    h, growth = region.info.cosmology.h, 1.0 + region.info.redshift
    large = {"1000": 1e3, "1/h": 1.0 / h, "1000/h": 1e3 / h, "1000 h": 1e3 * h, "1+z": growth}
    factors = {f"{words} too small": factor for words, factor in large.items()}
    factors |= {f"{words} too large": 1.0 / factor for words, factor in large.items()}
    return {words: factor for words, factor in factors.items() if abs(factor - 1.0) > 0.02}


def _wrong_length(region: Region, words: str, factor: float) -> str:
    """A message that says whose lengths are wrong, and the key of the recipe that mends the snapshot's."""
    info = region.info
    told = f"the catalogue's lengths are a factor {words}: "
    if words.startswith("1+z"):
        return told + "one of catalogue and snapshot is comoving, the other proper"

    h = info.cosmology.h

    now = info.length_unit
    others = [u for u in LENGTH_UNITS if now and abs(unit_ratio(now, u, h) / factor - 1.0) < 1e-6]
    if not others:
        return told + "one of catalogue and snapshot is in another unit than it says"
    mend = f"set simulation.length_unit to {others[0]}"
    # Particles that fill a box have the mean density of the universe, if their unit is right.
    mean = (
        info.cosmology.omega_m * info.cosmology.critical_density_msun_kpc3(0.0) * (1.0 + info.redshift) ** 3
    )
    filled = region.mean_density_msun_kpc3() / mean
    of_h = LENGTH_UNITS[others[0]][1] - LENGTH_UNITS[now][1]
    instead = filled * h**-of_h * unit_ratio(now, others[0], h) ** 3
    low, high = (0.8, 1.25) if region.periodic else (0.03, 1e4)
    if low < instead < high and not low < filled < high:
        return f"{told}the snapshot's seem to be in {others[0]}, and are read as {now}: {mend}"
    if low < filled < high and not low < instead < high:
        return f"{told}the snapshot's are plausible in {now}, as they are read"
    return f"{told}one of the two is in another unit; if it is the snapshot, read as {now}, {mend}"


def _contrast(region: Region, halos: Halos, length: float) -> float:
    """Median density inside the halos over that of the region, with the catalogue's lengths multiplied."""
    found = []
    for row in range(len(halos)):
        radius = float(halos.R200c_kpc[row] * length)
        try:
            cutout = region.cutout(halos.centre_kpc[row] * length, radius)
        except InputError:  # wider than the box
            found.append(0.0)
            continue
        mass = sum(float(cutout[name].mass.sum(dtype=np.float64)) for name in SPECIES)
        found.append(mass / (4.0 / 3.0 * np.pi * radius**3))
    return float(np.median(found)) / region.mean_density_msun_kpc3()


def _measured(region: Region, halos: Halos, row: int) -> float:
    """M200c around a halo's centre, in spheres that grow until it fits; NaN where there is no halo."""
    info = region.info
    density = 200.0 * info.cosmology.critical_density_msun_kpc3(info.redshift)
    # The catalogue's mass may be off by orders of magnitude: clusters and groups are what it can be.
    start = np.clip(1.3 * np.cbrt(halos.M200c_msun[row] / (4.0 / 3.0 * np.pi * density)), 300.0, 4000.0)
    for doubling in (1.0, 2.0, 4.0, 8.0):
        try:
            return measure(region.cutout(halos.centre_kpc[row], float(start * doubling)))["M200c"]
        except TooSmallCutout:
            continue
        except InputError:
            break
    return np.nan
