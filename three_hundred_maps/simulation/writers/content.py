"""What is written: a `SnapshotHeader`, and the particles as ``{gadget_type: {field: array}}``.

Whatever the format of the files, arrays are given in one convention:

===================== ======== ==============================================================
field                 shape    meaning and unit
===================== ======== ==============================================================
position              (n, 3)   comoving kpc/h, in [0, box_size)
velocity              (n, 3)   peculiar, km/s (files hold it divided by sqrt(a); SWIFT as it is)
id                    (n,)     unsigned integers
mass                  (n,)     1e10 Msun/h; left out where ``header.mass_table`` gives it
internal_energy       (n,)     (km/s)^2, physical
density               (n,)     comoving, 1e10 h^2 Msun / kpc^3
electron_abundance    (n,)     n_e / n_H
neutral_fraction      (n,)     n_HI / n_H
smoothing_length      (n,)     comoving kpc/h, the radius where the kernel ends
star_formation_rate   (n,)     Msun/yr
metallicity           (n,)     mass fraction of metals, absolute
helium_fraction       (n,)     mass fraction of helium
formation_time        (n,)     scale factor of formation (stars)
delay_time            (n,)     greater than 0 for wind particles (Gyr)
temperature           (n,)     K
===================== ======== ==============================================================

Files are whole or absent (written beside and renamed), and the same content gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.simulation.cosmology import Cosmology
from three_hundred_maps.simulation.tables import take

ParticleData = Mapping[int, Mapping[str, NDArray[Any]]]

SOLAR_SHARES = {
    "C": 0.177,
    "N": 0.052,
    "O": 0.429,
    "Ne": 0.094,
    "Mg": 0.053,
    "Si": 0.050,
    "S": 0.023,
    "Ca": 0.005,
    "Fe": 0.117,
}
"""How the metals of one scalar metallicity are shared out where a file lists elements (rounded solar)."""


@dataclass(frozen=True)
class SnapshotHeader:
    """What a snapshot says about itself.

    Parameters
    ----------
    redshift
        Of the snapshot.
    box_size
        Comoving kpc/h.
    cosmology
        Background.
    mass_table
        Masses (1e10 Msun/h) of the six types whose particles all weigh the same; 0 elsewhere.
    length_unit
        ``kpc/h`` or ``Mpc/h``: what the file is written in (the arrays given are always kpc/h).
    extra
        Further attributes of an HDF5 header, for instance ``{"Synthetic": 1}``. A Gadget binary
        header has no room for names: there ``Synthetic`` alone is kept, as a mark in its last bytes.
    """

    redshift: float
    box_size: float
    cosmology: Cosmology
    mass_table: tuple[float, float, float, float, float, float] = (0.0,) * 6
    length_unit: str = "kpc/h"
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def time(self) -> float:
        """Scale factor."""
        return 1.0 / (1.0 + self.redshift)


def part_of(particles: ParticleData, part: int, parts: int) -> dict[int, dict[str, NDArray[Any]]]:
    """The particles that file ``part`` of ``parts`` holds: consecutive rows of every type."""
    chosen: dict[int, dict[str, NDArray[Any]]] = {}
    for kind, fields in particles.items():
        n = count(fields)
        chosen[kind] = take(dict(fields), slice(n * part // parts, n * (part + 1) // parts))
    return chosen


def count(fields: Mapping[str, NDArray[Any]]) -> int:
    """Number of particles of one type; ValueError where the arrays disagree."""
    sizes = {len(values) for values in fields.values()}
    if len(sizes) > 1:
        raise ValueError(f"arrays of one particle type have different lengths: {sorted(sizes)}")
    return sizes.pop() if sizes else 0


def counts(particles: ParticleData) -> NDArray[np.int64]:
    """Particle numbers of the six types."""
    return np.array([count(particles.get(kind, {})) for kind in range(6)], np.int64)
