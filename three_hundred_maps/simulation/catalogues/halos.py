"""Halo catalogues as the rest of the project sees them: no h, proper lengths, in the particles' frame."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.errors import InputError
from three_hundred_maps.simulation.tables import take

NO_HOST = -1


@dataclass(frozen=True)
class GroupMembers:
    """Where the particles of a catalogue's larger groups lie in a snapshot that is sorted by group.

    Parameters
    ----------
    centre_kpc, radius_kpc
        (n, 3) and (n,): centres and R200c, proper.
    first, length
        (n, 6) int64: the first row of each group by particle type, rising, and how many rows it has.
    """

    centre_kpc: NDArray[np.float64]
    radius_kpc: NDArray[np.float64]
    first: NDArray[np.int64]
    length: NDArray[np.int64]


@dataclass(frozen=True)
class Halos:
    """The halos of a catalogue, one row each.

    Parameters
    ----------
    halo_id
        (n,) int64, the catalogue's own.
    host_id
        (n,) int64: the halo this one lies in, -1 for a distinct halo.
    centre_kpc
        (n, 3) float64, proper kpc, in the frame of the snapshot's positions.
    M200c_msun, R200c_kpc
        (n,) float64, Msun and proper kpc, as the catalogue gives them.
    f_high_resolution
        (n,) float64: mass fraction of high-resolution particles; 1 where the catalogue does not say.
    com_offset
        (n,) float64: distance of the centre of mass from the centre, in R200c; NaN where unknown.
    f_sub
        (n,) float64: mass of the direct subhaloes over M200c; NaN where unknown.
    redshift
        Of the catalogue; NaN where it does not say.
    source
        A kind of catalogue (`catalogue.READERS`), or ``synthetic``.
    mass_origin
        Where M200c comes from: the catalogue, or what it was made from.
    members
        Of all groups, whatever halos are selected; None where the catalogue does not say.
    """

    halo_id: NDArray[np.int64]
    host_id: NDArray[np.int64]
    centre_kpc: NDArray[np.float64]
    M200c_msun: NDArray[np.float64]
    R200c_kpc: NDArray[np.float64]
    f_high_resolution: NDArray[np.float64]
    com_offset: NDArray[np.float64]
    f_sub: NDArray[np.float64]
    redshift: float = math.nan
    source: str = ""
    mass_origin: str = "catalogue"
    members: GroupMembers | None = None

    def __len__(self) -> int:
        return len(self.halo_id)

    @classmethod
    def of(cls, path: Path, **columns: Any) -> Halos:
        """The halos of a catalogue: all distinct where it names no hosts, unknown what it does not say.

        Raises
        ------
        InputError
            Where there are none, or one without a mass, a radius, or an identifier of its own.
        """
        halo_id, mass, radius = (columns[name] for name in ("halo_id", "M200c_msun", "R200c_kpc"))
        n = len(halo_id)
        if not n:
            raise InputError(f"{path}: the catalogue has no halos with an M200c above 0")
        empty = (mass <= 0) | (radius <= 0)
        if empty.any():
            raise InputError(f"{path}: halo {halo_id[np.argmax(empty)]} has a mass or radius of zero or less")
        if len(np.unique(halo_id)) != n:
            raise InputError(f"{path}: halo identifiers occur twice: files of different snapshots?")
        given = {name: values for name, values in columns.items() if values is not None}
        unknown = {name: np.full(n, math.nan) for name in ("com_offset", "f_sub")}
        alone = {"host_id": np.full(n, NO_HOST, np.int64), "f_high_resolution": np.ones(n)}
        return cls(**{**alone, **unknown, **given})

    @property
    def distinct(self) -> NDArray[np.bool_]:
        """(n,) whether a halo lies in no other."""
        return self.host_id == NO_HOST

    def origins(self) -> dict[str, str]:
        """Where the state of the halos of a store comes from in words, and masses not of the catalogue."""
        offset = "catalogue" if np.isfinite(self.com_offset).all() else "particles within R200c"
        relaxed = "com_offset and f_sub"
        substructure = "catalogue"
        if not np.isfinite(self.f_sub).all():
            substructure = "lumps in the dark matter within R200c, positions alone"
            relaxed += "; com_offset alone where too few particles give no f_sub"
        masses = {} if self.mass_origin == "catalogue" else {"M200c_catalogue": self.mass_origin}
        return {"com_offset": offset, "f_sub": substructure, "relaxed": relaxed, **masses}

    def select(self, rows: NDArray[np.generic] | Sequence[int]) -> Halos:
        """The halos at ``rows`` (a mask or indices)."""
        return replace(take(replace(self, members=None), rows), members=self.members)


def nearest_image(apart: NDArray[np.float64], box: float) -> NDArray[np.float64]:
    """Vectors in a periodic box of side ``box`` (0: not periodic), the shortest way."""
    return apart - box * np.round(apart / box) if box > 0 else apart


def substructure_fraction(
    halo_id: NDArray[np.int64], host_id: NDArray[np.int64], mass: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(n,) mass of the halos directly inside each halo, over its own mass."""
    order = np.argsort(halo_id)
    where = np.searchsorted(halo_id, host_id, sorter=order)
    where = order[np.minimum(where, len(order) - 1)]
    inside = (halo_id[where] == host_id) & (host_id != NO_HOST)
    held = np.bincount(where[inside], weights=mass[inside], minlength=len(mass))
    return np.divide(held, mass, out=np.zeros(len(mass)), where=mass > 0)


def substructure_within(
    of: NDArray[np.int64],
    centre: NDArray[np.float64],
    mass: NDArray[np.float64],
    host_centre: NDArray[np.float64],
    host_radius: NDArray[np.float64],
    host_mass: NDArray[np.float64],
    box: float,
) -> NDArray[np.float64]:
    """(hosts,) bound mass of the subhaloes whose centre lies within the host's R200c, over its M200c.

    Parameters
    ----------
    of, centre, mass
        (n,) row of each subhalo's host, -1 for none; (n, 3) and (n,), in the units of the hosts.
    host_centre, host_radius, host_mass
        (hosts, 3), (hosts,), (hosts,).
    box
        Side of the periodic box, 0 where there is none.
    """
    rows = np.flatnonzero(of >= 0)
    apart = nearest_image(centre[rows] - host_centre[of[rows]], box)
    inside = rows[np.linalg.norm(apart, axis=1) <= host_radius[of[rows]]]
    held = np.bincount(of[inside], weights=mass[inside], minlength=len(host_mass))
    return np.divide(held, host_mass, out=np.zeros(len(host_mass)), where=host_mass > 0)


def hosts_by_position(
    halo_id: NDArray[np.int64],
    centre: NDArray[np.float64],
    mass: NDArray[np.float64],
    radius: NDArray[np.float64],
    box: float,
) -> NDArray[np.int64]:
    """(n,) the smallest more massive halo within whose radius each halo's centre lies, -1 for none."""
    from scipy.spatial import cKDTree

    tree = cKDTree(np.mod(centre, box) if box > 0 else centre, boxsize=box if box > 0 else None)
    host = np.full(len(mass), NO_HOST, np.int64)
    for row in np.argsort(-mass, kind="stable").tolist():  # the smaller come later and stay
        inside = np.array(tree.query_ball_point(tree.data[row], radius[row]), np.int64)
        host[inside[mass[inside] < mass[row]]] = halo_id[row]
    return host
