"""Schema version 1 of a store: every name, dimension, type, unit and meaning, in one place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

SCHEMA_VERSION = 1
SPLITS = ("train", "validation", "test")
KEY = ("region", "snapshot", "halo_id")
"""The key of a halo: ids repeat between regions."""

MAP_DIMS = ("halo", "los", "y", "x")
TARGET = "mass"
"""The view that models predict."""

HALF = "mass_half"
"""The map of a seeded half of the particles, in the test split alone: the noise floor of the benchmark."""

FRAME_PROPER = "proper, at the snapshot's redshift"


@dataclass(frozen=True)
class Variable:
    """One variable of a store.

    Parameters
    ----------
    name, dims, dtype
        As in the Zarr array.
    units
        In the notation of the `units` attribute (``1`` for none).
    long_name
        A sentence fragment that says what it is.
    frame
        ``proper, ...`` for lengths and areas, else in which system the value stands.
    """

    name: str
    dims: tuple[str, ...]
    dtype: str
    units: str
    long_name: str
    frame: str = FRAME_PROPER

    def attrs(self) -> dict[str, str]:
        """The attributes that every variable must carry."""
        return {"units": self.units, "long_name": self.long_name, "frame": self.frame}


def map_variable(view: str, units: str, long_name: str) -> Variable:
    """The variable of a view's maps."""
    return Variable(view, MAP_DIMS, "float32", units, long_name)


def total_variable(view: str, units: str, long_name: str) -> Variable:
    """The variable of a view's map integrals, from the particles; ``units`` are the map's times kpc2."""
    return Variable(f"total_{view}", ("halo", "los"), "float64", units, f"integral over the map: {long_name}")


def half_variable(target: Variable) -> Variable:
    """The variable of the half-sample's maps, from that of the target's."""
    return map_variable(
        HALF, target.units, f"{target.long_name}, from a seeded half of the particles, times 2"
    )


def _halo(
    name: str, units: str, long_name: str, dtype: str = "float64", frame: str = FRAME_PROPER
) -> Variable:
    return Variable(name, ("halo",), dtype, units, long_name, frame)


_CATALOGUE = "as the halo catalogue gives it, converted from its h units; for selection only"

HALO_VARIABLES: Mapping[str, Variable] = {
    v.name: v
    for v in (
        _halo("region", "1", "number of the simulated region", "int64", "identifier"),
        _halo("snapshot", "1", "number of the snapshot", "int64", "identifier"),
        _halo("halo_id", "1", "number of the halo in its catalogue", "int64", "identifier"),
        _halo("redshift", "1", "redshift of the snapshot", frame="identifier"),
        _halo("M200c", "Msun", "mass inside R200c, all particles"),
        _halo("R200c", "kpc", "radius of mean density 200 times critical"),
        _halo("M500c", "Msun", "mass inside R500c, all particles"),
        _halo("R500c", "kpc", "radius of mean density 500 times critical"),
        _halo("c200c", "1", "concentration of an NFW fit between 0.05 and 1 R200c"),
        _halo("f_gas_500", "1", "mass fraction of all gas inside R500c"),
        _halo("f_star_500", "1", "mass fraction of all stars inside R500c"),
        _halo("f_sub", "1", "mass fraction of subhaloes"),
        _halo("com_offset", "1", "offset of the centre of mass inside R200c, in R200c"),
        _halo("relaxed", "1", "1 where com_offset < 0.1 and f_sub < 0.1", "uint8"),
        _halo("d_neighbour", "1", "distance to the nearest more massive halo, in that halo's R200c"),
        _halo("M200c_catalogue", "Msun", "M200c of the catalogue", frame=_CATALOGUE),
        _halo("R200c_catalogue", "kpc", "R200c of the catalogue", frame=_CATALOGUE),
    )
}

LOS_VARIABLES: Mapping[str, Variable] = {
    v.name: v
    for v in (
        Variable(
            "los_vector", ("los", "xyz"), "float64", "1", "unit vector n to the observer", "simulation box"
        ),
        Variable(
            "los_up",
            ("los", "xyz"),
            "float64",
            "1",
            "unit vector u of the map's +y; the map's +x is u x n",
            "simulation box",
        ),
    )
}

AXIS_VARIABLES: Mapping[str, Variable] = {
    name: Variable(name, (name,), "float32", "R200c", f"pixel centre along the map's +{name}", "halo")
    for name in ("y", "x")
}

ROOT_ATTRS = (
    "schema_version",
    "name",
    "description",
    "synthetic",
    "recipe",
    "recipe_sha256",
    "package_version",
    "license",
    "attribution",
    "citation",
    "simulation",
)
"""Attributes that the root of every store carries."""
