"""Measuring synthetic regions through the very readers and views that users' data goes through."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.io import spawn_pool
from three_hundred_maps.nfw import enclosed_mass
from three_hundred_maps.simulation.catalogues.catalogue import read_catalogue
from three_hundred_maps.simulation.catalogues.halos import Halos
from three_hundred_maps.simulation.measure import measure
from three_hundred_maps.simulation.particles import Cutout
from three_hundred_maps.simulation.region import Region
from three_hundred_maps.simulation.synthetic.region import RegionData, make_region, write_region
from three_hundred_maps.simulation.synthetic.setup import COSMOLOGY, Flavour, concentration
from three_hundred_maps.units import (
    BOLTZMANN_ERG_PER_K,
    GRAVITY_KPC_KMS2_PER_MSUN,
    KM_CM,
    PROTON_MASS_G,
)

Job = TypeVar("Job")
Found = TypeVar("Found")
Progress = Callable[[int], Any] | None

MEASURED = (
    "region", "central", "state", "M_intended", "M200c", "M500c", "f_gas", "f_star", "Y_mpc2", "T_keV",
    "L_erg_s",
    "c200c", "c_median", "m500_nfw", "hse_bias", "n_sub", "f_sub", "offset",
)  # fmt: skip
"""Columns of `survey_region`, one row a distinct halo above 10^12.7 Msun/h."""


@dataclass(frozen=True)
class OpenRegion:
    """A region in memory together with what a reader makes of its files."""

    data: RegionData
    region: Region
    halos: Halos


def open_region(folder: Path, seed: int, region: int, flavour: Flavour) -> OpenRegion:
    """Simulate into ``folder``, and open what was written."""
    data = make_region(seed, region, flavour, "light")
    files = write_region(folder, data)
    halos = read_catalogue("ahf", files.catalogue, cosmology=COSMOLOGY, redshift=0.0)
    return OpenRegion(data, Region.open(files.snapshot), halos)


def over_regions(
    function: Callable[[Job], Found], jobs: Iterable[Job], workers: int = 1, progress: Progress = None
) -> list[Found]:
    """``function`` of each job, in their order; in so many processes, or in this one for 1."""
    found = []
    with ExitStack() as stack:
        if workers <= 1:
            results: Iterable[Found] = map(function, jobs)
        else:
            results = stack.enter_context(spawn_pool(workers)).map(function, jobs, chunksize=2)
        for result in results:
            found.append(result)
            if progress:
                progress(1)
    return found


def survey_region(folder: Path, seed: int, region: int, flavour: Flavour) -> NDArray[np.float64]:
    """(n, len(MEASURED)) what the distinct halos of one region are like."""
    opened = open_region(folder, seed, region, flavour)
    halos = opened.halos
    rows = []
    for i, halo in enumerate(opened.data.halos):
        cutout = opened.region.cutout(halos.centre_kpc[i], 1.4 * halos.R200c_kpc[i])
        found = measure(cutout)
        host = halos.host_id == halos.halo_id[i]
        intended = halo.mass * halo.budget[flavour].m200
        ratios = halos.M200c_msun[host] / found["M200c"]
        c = found["c200c"]
        rows.append(
            [
                region, i == 0, halo.state, intended, halos.M200c_msun[i], found["M500c"],
                found["f_gas_500"],
                found["f_star_500"], found["Y_500_mpc2"], found["T_mw_500_keV"],
                bolometric_luminosity(cutout, found["R500c"]), c, float(concentration(halo.mass)),
                nfw_m500_share(c), hydrostatic_bias(cutout, found["R500c"], found["M500c"]),
                int((ratios > 1e-3).sum()), float(ratios.sum()), found["com_offset"],
            ]
        )  # fmt: skip
    return np.array(rows, np.float64).reshape(-1, len(MEASURED))


def bolometric_luminosity(cutout: Cutout, radius_kpc: float) -> float:
    """Luminosity in erg/s of the gas that counts in X-rays, inside a sphere."""
    from three_hundred_maps.mapping.views import XRAY_UNIT_ERG_S, MapContext, xray_luminosity

    gas = cutout["gas"]
    inside = (gas.position.astype(np.float64) ** 2).sum(1) < radius_kpc**2
    return float(xray_luminosity(gas.select(inside), MapContext()).sum()) * XRAY_UNIT_ERG_S


def nfw_m500_share(concentration: float) -> float:
    """M500c/M200c of an NFW halo."""
    if not math.isfinite(concentration):
        return math.nan
    x = np.geomspace(0.2, 1.0, 400)
    mass = enclosed_mass(concentration * x)
    return float(np.interp(-2.5, -mass / mass[-1] / x**3, mass / mass[-1]))


def hydrostatic_bias(cutout: Cutout, r500_kpc: float, m500_msun: float) -> float:
    """1 - M_HSE/M500c at the true R500c, from the gas's density and mass-weighted temperature profiles.

    d ln rho / d ln r and d ln T / d ln r come from parabolas in log radius over 0.5-1.5 R500c, as
    observers fit smooth models.
    """
    gas = cutout["gas"]
    r = np.sqrt((gas.position.astype(np.float64) ** 2).sum(1)) / r500_kpc
    hot = np.asarray(gas.fields["temperature"], np.float64) > 3e5
    edges = np.geomspace(0.5, 1.5, 13)
    mass = gas.mass.astype(np.float64) * hot
    shell_mass = np.histogram(r, edges, weights=mass)[0]
    shell_heat = np.histogram(r, edges, weights=mass * np.asarray(gas.fields["temperature"], np.float64))[0]
    if (shell_mass <= 0).any():
        return math.nan
    x = np.log(np.sqrt(edges[1:] * edges[:-1]))
    density = np.polyfit(x, np.log(shell_mass / np.diff(edges**3)), 2)
    temperature = np.polyfit(x, np.log(shell_heat / shell_mass), 2)
    slope = density[1] + temperature[1]  # at x = 0
    kelvin = math.exp(temperature[2])
    mass_hse = -slope * r500_kpc * BOLTZMANN_ERG_PER_K * kelvin / (0.59 * PROTON_MASS_G) / KM_CM**2
    return 1.0 - mass_hse / GRAVITY_KPC_KMS2_PER_MSUN / m500_msun
