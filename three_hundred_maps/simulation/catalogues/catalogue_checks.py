"""Does a catalogue belong to a snapshot? Halos measured from the particles against the catalogue's own.

A wrong unit shows as a factor of 1000 or of h, in the masses or in where the halos lie: it is named.
"""

from __future__ import annotations

import numpy as np

from three_hundred_maps.errors import InputError
from three_hundred_maps.simulation.catalogues.halos import Halos
from three_hundred_maps.simulation.measure import measure
from three_hundred_maps.simulation.region import Region

LARGEST_DISAGREEMENT = 0.05
"""Of M200c between particles and catalogue, above which a halo is reported."""

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
        One line for each measured halo whose M200c disagrees by more than 5 %.

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
    chosen = halos.select(distinct[np.argsort(-halos.M200c_msun[distinct], kind="stable")[:most]])
    ratio = _mass_ratio(region, chosen, 1.0)
    if ratio is None or not 1.0 / _OTHER_SIMULATION < ratio < _OTHER_SIMULATION or _near_h(region, ratio):
        raise InputError(_explain(region, chosen, ratio))
    notes = []
    for row in range(len(chosen)):
        measured = _measured(region, chosen, row, 1.0)
        if measured is None:
            notes.append(f"halo {chosen.halo_id[row]}: no halo in the particles at the catalogue's centre")
        else:
            said = mass_disagreement(measured, float(chosen.M200c_msun[row]))
            if said is not None:
                notes.append(f"halo {chosen.halo_id[row]}: {said}")
    return notes


def _near_h(region: Region, ratio: float) -> bool:
    h = region.info.cosmology.h
    return min(abs(ratio / h - 1.0), abs(ratio * h - 1.0)) < 0.03 and abs(ratio - 1.0) > 0.1


def _explain(region: Region, halos: Halos, ratio: float | None) -> str:
    """Which unit is wrong, tried by putting the halos where each mistake would have taken them from."""
    info = region.info
    if ratio is not None:
        factors = {
            "1/h too large: they seem to be in Msun, and are read as Msun/h": info.cosmology.h,
            "h too small: they seem to be in Msun/h, and are read as Msun": 1.0 / info.cosmology.h,
            "1e10 too small: they seem to be in 1e10 Msun/h": 1e10,
            "1000 too large": 1e-3,
            "1000 too small": 1e3,
        }
        for words, factor in factors.items():
            if abs(ratio / factor - 1.0) < 0.1:
                return f"the catalogue's masses are a factor {words} (particles over catalogue: {ratio:.3g})"
    factors = {
        "1000 too small: one of catalogue and snapshot is in Mpc/h; set simulation.length_unit": 1e3,
        "1000 too large: one of catalogue and snapshot is in Mpc/h; set simulation.length_unit": 1e-3,
        "h too small: one of catalogue and snapshot is in kpc, the other in kpc/h": 1.0 / info.cosmology.h,
        "1/h too large: one of catalogue and snapshot is in kpc, the other in kpc/h": info.cosmology.h,
        "1+z too small: one of catalogue and snapshot is comoving, the other proper": 1.0 + info.redshift,
        "1+z too large: one of catalogue and snapshot is comoving, the other proper": 1.0
        / (1.0 + info.redshift),
    }
    outside = _share_inside(region, halos, 1.0) < 0.5
    for words, factor in factors.items():
        if factor in (1e3, 1e-3) and outside and _share_inside(region, halos, factor) > 0.9:
            return f"the catalogue's lengths are a factor {words}"
        if abs(factor - 1.0) > 0.02:
            moved = _mass_ratio(region, halos, factor)
            if moved is not None and 0.5 < moved < 2.0:
                return f"the catalogue's lengths are a factor {words}"
    if ratio is None:
        return (
            "the particles have no halos at the catalogue's centres: it is of another simulation, snapshot "
            "or region"
        )
    return (
        f"the particles give {ratio:.3g} times the catalogue's masses: it is of another simulation "
        "or in other units"
    )


def _share_inside(region: Region, halos: Halos, length: float) -> float:
    """Share of the halos that lie between the particles with lengths multiplied."""
    low, high = region.bounds_kpc()
    centres = halos.centre_kpc * length
    return float(np.mean(np.all((centres >= low) & (centres <= high), axis=1)))


def _mass_ratio(region: Region, halos: Halos, length: float) -> float | None:
    """Median of particle mass over catalogue mass with lengths multiplied; None where half are not there."""
    ratios = []
    for row in range(len(halos)):
        measured = _measured(region, halos, row, length)
        if measured is not None:
            ratios.append(measured / float(halos.M200c_msun[row]))
    return float(np.median(ratios)) if 2 * len(ratios) > len(halos) else None


def _measured(region: Region, halos: Halos, row: int, length: float) -> float | None:
    """M200c around a halo's centre, in spheres that grow until it fits; None where there is no halo."""
    info = region.info
    density = 200.0 * info.cosmology.critical_density_msun_kpc3(info.redshift)
    # The catalogue's mass may be off by orders of magnitude: clusters and groups are what it can be.
    start = np.clip(1.3 * np.cbrt(halos.M200c_msun[row] / (4.0 / 3.0 * np.pi * density)), 300.0, 4000.0)
    for doubling in (1.0, 2.0, 4.0, 8.0):
        try:
            return measure(region.cutout(halos.centre_kpc[row] * length, float(start * doubling)))["M200c"]
        except InputError as error:
            if "too small" not in str(error):
                return None
    return None
