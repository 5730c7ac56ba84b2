"""Halo catalogues as the rest of the project sees them: no h, proper lengths, in the particles' frame."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

NO_HOST = -1


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
        ``ahf``, ``subfind``, ``csv`` or ``synthetic``.
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

    def __len__(self) -> int:
        return len(self.halo_id)

    @property
    def distinct(self) -> NDArray[np.bool_]:
        """(n,) whether a halo lies in no other."""
        return self.host_id == NO_HOST

    def origins(self) -> dict[str, str]:
        """Where the centre offset and the substructure of a store's halos come from, in words."""
        offset = "catalogue" if np.isfinite(self.com_offset).all() else "particles within R200c"
        relaxed = "com_offset and f_sub"
        substructure = "catalogue"
        if not np.isfinite(self.f_sub).all():
            substructure = "lumps in the dark matter within R200c, positions alone"
            relaxed += "; com_offset alone where too few particles give no f_sub"
        return {"com_offset": offset, "f_sub": substructure, "relaxed": relaxed}

    def select(self, rows: NDArray[np.generic] | Sequence[int]) -> Halos:
        """The halos at ``rows`` (a mask or indices)."""
        chosen = {
            item.name: getattr(self, item.name)[rows]
            for item in fields(self)
            if item.name not in ("redshift", "source")
        }
        return replace(self, **chosen)


def substructure_fraction(
    halo_id: NDArray[np.int64], host_id: NDArray[np.int64], mass: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(n,) mass of the halos directly inside each halo, over its own mass."""
    order = np.argsort(halo_id)
    where = np.searchsorted(halo_id, host_id, sorter=order)
    where = order[np.minimum(where, len(order) - 1)]
    inside = (halo_id[where] == host_id) & (host_id != NO_HOST)
    return np.bincount(where[inside], weights=mass[inside], minlength=len(mass)) / mass
