"""Schema version 2 of a store: every name, dimension, type, unit and meaning, in one place."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.errors import InputError

SCHEMA_VERSION = 2
SPLITS = ("train", "validation", "test")

MAP_DIMS = ("halo", "los", "y", "x")
TARGET = "mass"
"""The view that models predict, unless they are told of another."""

MASS_UNITS = "Msun kpc-2"
"""Of the views that can be predicted."""

HALF = f"{TARGET}_half"
"""The map of a seeded half of the particles, in the test split alone: the noise floor of the benchmark."""

_MATTER = {
    TARGET: "it is the sum of gas, dark matter and stars",
    HALF: "it is the sum of gas, dark matter and stars",
    "dark_matter": "nobody sees it, and it is most of the mass",
}
_GAS_WEIGHTED = "with ksz it tells the gas, which is its weight"
_TELLS = {
    TARGET: _MATTER,
    "dark_matter": {**_MATTER, "gas": "mass less gas and stars is the target"},
    "gas": {**_MATTER, "velocity": _GAS_WEIGHTED, "velocity_dispersion": _GAS_WEIGHTED},
    "xray": {"xray_soft": "it is the same light in a band"},
    "xray_soft": {"xray": "it is the same light in all bands"},
}
"""By what is predicted: views that give it away, and why."""


def half_of(view: str) -> str:
    """Name of the maps of a view from half of its particles."""
    return f"{view}_half"


def not_inputs(target: str = TARGET) -> dict[str, str]:
    """Views that no model may see which predicts ``target``, and why."""
    return {
        "star_grainy": "one particle's pixels tell R200c, and with it the mass: use star",
        **_TELLS.get(target, {}),
        **dict.fromkeys((target, half_of(target)), "it is what is to be predicted"),
    }


FRAME_PROPER = "proper, at the snapshot's redshift"


@dataclass(frozen=True)
class Variable:
    """One variable of a store.

    Parameters
    ----------
    name, dims
        As in the Zarr array.
    dtype
        Of the values in memory: that of the Zarr array, or ``string``, which a store keeps as codes.
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

    @property
    def stored(self) -> np.dtype[Any]:
        """Type of the Zarr array."""
        return np.dtype("int32" if self.dtype == "string" else self.dtype)

    def attrs(self) -> dict[str, Any]:
        """The attributes that every variable must carry."""
        return {"units": self.units, "long_name": self.long_name, "frame": self.frame}

    def column(self, values: Any) -> NDArray[Any]:
        """``values`` as an array of this variable's type in memory."""
        kind = np.str_ if self.dtype == "string" else np.dtype(self.dtype)
        return np.ascontiguousarray(np.asarray(values, kind))


def map_variable(view: str, units: str, long_name: str) -> Variable:
    """The variable of a view's maps."""
    return Variable(view, MAP_DIMS, "float32", units, long_name)


def total_variable(view: str, units: str, long_name: str) -> Variable:
    """The variable of a view's map integrals, from the particles; ``units`` are the map's times kpc2."""
    return Variable(f"total_{view}", ("halo", "los"), "float64", units, f"integral over the map: {long_name}")


def times_kpc2(units: str) -> str:
    """The units of a map's integral over proper area."""
    factors = units.split()
    if "kpc-2" in factors:
        factors.remove("kpc-2")
        return " ".join(factors) or "1"
    return "kpc2" if units == "1" else f"{units} kpc2"


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
        _halo("simulation", "1", "short name of the simulation", "string", "identifier"),
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

_STRENGTH = "strength of the region's feedback, 0 as in GADGET-X and 1 as in GIZMO-SIMBA"

OPTIONAL_VARIABLES: Mapping[str, Variable] = {
    v.name: v
    for v in (
        _halo("feedback_ejection", "1", f"{_STRENGTH}: gas driven out of R500c", frame="simulation"),
        _halo("feedback_reach", "1", f"{_STRENGTH}: how far out that gas goes", frame="simulation"),
        _halo("feedback_core", "1", f"{_STRENGTH}: heating of the gas's core", frame="simulation"),
        _halo("feedback_turbulence", "1", f"{_STRENGTH}: motions and clumps", frame="simulation"),
        _halo("feedback_stars", "1", f"{_STRENGTH}: stellar fraction with mass", frame="simulation"),
        _halo("T_mw_500_keV", "keV", "mass-weighted temperature of all gas inside R500c"),
        _halo("Y_500_kpc2", "kpc2", "Compton y integrated over the sphere of R500c, winds left out"),
    )
}
"""What only some stores say of their halos: the strengths are of the synthetic flavour ``hypercube``, the
others of recipes that ask for them (`MEASURED_ON_DEMAND`)."""

MEASURED_ON_DEMAND = ("T_mw_500_keV", "Y_500_kpc2")
"""What a recipe may ask for as ``store.halo_variables``."""


def halo_variables(names: Container[str]) -> dict[str, Variable]:
    """The variables of a store's halos: all of `HALO_VARIABLES`, and of the optional those in ``names``."""
    optional = {name: variable for name, variable in OPTIONAL_VARIABLES.items() if name in names}
    return {**HALO_VARIABLES, **optional}


ROW_CHECKSUM = Variable(
    "row_checksum",
    ("halo",),
    "uint64",
    "1",
    "first 8 bytes of the sha256 of the halo's other variables and of its totals",
    "identifier",
)
"""Binds the values of one halo together: a value moved from one halo to another is then seen."""


def row_checksums(columns: Mapping[str, NDArray[Any]], views: Sequence[str]) -> NDArray[np.uint64]:
    """(halo,): `ROW_CHECKSUM` of the halo variables and ``total_VIEW`` of ``columns``."""
    names = [*halo_variables(columns), *(f"total_{view}" for view in views)]
    sums = []
    for row in range(len(columns["region"])):
        digest = hashlib.sha256()
        for name in names:
            value = columns[name][row]
            digest.update(str(value).encode() if name == "simulation" else np.asarray(value).tobytes())
            digest.update(b"\0")
        sums.append(int.from_bytes(digest.digest()[:8], "big"))
    return np.array(sums, np.uint64)


_ID = re.compile(r"[A-Za-z0-9._-]+")


def flag_attrs(ids: Sequence[str]) -> dict[str, Any]:
    """The CF attributes that say what the codes 0, 1, ... of ``simulation`` stand for.

    Raises
    ------
    InputError
        For an id that is not made of letters, digits, dots, hyphens and underscores.
    """
    for name in ids:
        if not _ID.fullmatch(name):
            raise InputError(f"simulation id {name!r}: use letters, digits, dots, hyphens and underscores")
    return {"flag_values": list(range(len(ids))), "flag_meanings": " ".join(ids)}


def simulation_ids(attrs: Mapping[str, Any], where: object = "simulation") -> tuple[str, ...]:
    """The ids by code, from the attributes of ``simulation``; InputError where they do not say."""
    ids = tuple(str(attrs.get("flag_meanings", "")).split())
    if list(attrs.get("flag_values", ())) != list(range(len(ids))) or len(set(ids)) != len(ids):
        raise InputError(f"{where}: flag_values and flag_meanings do not say what its codes stand for")
    return ids


def encode_ids(names: Iterable[str], ids: Sequence[str]) -> NDArray[np.int32]:
    """The codes of simulation names."""
    code = {name: number for number, name in enumerate(ids)}
    return np.array([code[str(name)] for name in names], np.int32)


def decode_ids(codes: NDArray[Any], ids: Sequence[str], where: object = "simulation") -> NDArray[np.str_]:
    """The names of simulation codes; InputError for a code that stands for none."""
    if len(codes) and not (codes.min() >= 0 and codes.max() < len(ids)):
        raise InputError(f"{where} holds a code that flag_values does not name")
    return np.asarray(np.array(ids or ("",), np.str_)[codes])


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


def generator_of(attrs: Mapping[str, Any]) -> str | None:
    """Version of the synthetic simulation that made a store; None for maps of other simulations."""
    version = (attrs.get("simulation") or {}).get("generator_version")
    return None if version is None else f"synthetic {version}"
