"""How many clusters hold more gas outside than inside, which the gas of a smooth halo never does."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.simulation.synthetic.dark_matter import Halo
from three_hundred_maps.simulation.synthetic.profiles import lengths
from three_hundred_maps.simulation.synthetic.region import RegionData, make_region
from three_hundred_maps.simulation.synthetic.setup import CENTRE_KPC_H, Flavour, H
from tools.realism.survey import Progress, over_regions

CAVITY_SEED, CAVITY_REGIONS = 92001, 80
CAVITY_RISE = 1.3
"""A halo counts as having a cavity when its gas density rises outwards by more than this factor."""
MASS_EDGES = (13.5, 14.0, 15.3)
"""log10 M200c (Msun/h) of the two classes that are reported."""
_EDGES = np.geomspace(0.1, 1.5, 15)


def outward_rise(radius: NDArray[np.float64]) -> float:
    """The largest factor by which the density of particles of equal mass rises outwards in 0.1-1.5.

    Parameters
    ----------
    radius
        (n,) of the particles, in R200c.

    Returns
    -------
    float
        1 where the density falls everywhere, infinity where an empty shell lies inside one that is not.
    """
    density = np.histogram(radius, _EDGES)[0] / np.diff(_EDGES**3)
    least = np.minimum.accumulate(density)
    filled = density > 0
    if not filled.any():
        return 1.0
    with np.errstate(divide="ignore"):
        return float(np.max(density[filled] / least[filled]))


def gas_rise(data: RegionData, halo: Halo) -> float:
    """`outward_rise` of the gas around one halo that forms no stars."""
    gas = data.particles[0]
    quiet = gas["star_formation_rate"] == 0
    position = (gas["position"][quiet].astype(np.float64) - CENTRE_KPC_H) / H - halo.centre
    return outward_rise(lengths(position) / halo.radius)


def _rises(job: tuple[int, int, Flavour]) -> list[tuple[float, bool]]:
    """log10 M200c of a region's halos, and whether each has a cavity."""
    data = make_region(*job)
    masses = [float(np.log10(halo.mass * H)) for halo in data.halos]
    return [
        (log_mass, gas_rise(data, halo) > CAVITY_RISE)
        for log_mass, halo in zip(masses, data.halos, strict=True)
        if log_mass >= MASS_EDGES[0]
    ]


def cavity_counts(flavour: Flavour, workers: int = 1, progress: Progress = None) -> list[tuple[int, int]]:
    """Halos with a cavity and all distinct halos of each class of mass, in fresh regions.

    Returns
    -------
    list of (int, int)
        With a cavity, all; one pair for each interval of `MASS_EDGES`.
    """
    jobs = [(CAVITY_SEED, region, flavour) for region in range(1, CAVITY_REGIONS + 1)]
    found = [each for rises in over_regions(_rises, jobs, workers, progress) for each in rises]
    return [
        (sum(cavity for m, cavity in found if low <= m < high), sum(low <= m < high for m, _ in found))
        for low, high in zip(MASS_EDGES[:-1], MASS_EDGES[1:], strict=True)
    ]
