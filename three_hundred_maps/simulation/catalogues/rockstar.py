"""Rockstar catalogues in text: ``out_*.list`` (with or without parents), ``halos_*.ascii``, ``hlist_*.list``.

Columns and units are those that the file itself names (Behroozi, Wechsler & Wu 2013 and the README of the
Rockstar source: masses in Msun/h, positions in comoving Mpc/h, radii in comoving kpc/h).
"""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.errors import InputError
from three_hundred_maps.nfw import enclosed_mass
from three_hundred_maps.simulation.catalogues.halos import (
    NO_HOST,
    Halos,
    hosts_by_position,
    substructure_fraction,
)
from three_hundred_maps.simulation.catalogues.text_table import TextTable
from three_hundred_maps.simulation.cosmology import Cosmology

_NAMES = {
    "id": ("id",),
    "parent": ("pid",),
    "m200c": ("m200c",),
    "m500c": ("m500c",),
    "mvir": ("mvir",),
    "scale_radius": ("rs",),
    "x": ("x",),
    "y": ("y",),
    "z": ("z",),
    "scale_factor": ("scale",),
}
_OPTIONAL = ("parent", "m200c", "m500c", "mvir", "scale_radius", "scale_factor")
_PIECE = re.compile(r"^(.+)\.\d{1,5}\.ascii$")
_SCALE_FACTOR = re.compile(r"^#\s*a\s*=\s*(?P<a>[0-9.eE+-]+)")
_HUBBLE = re.compile(r"\bh0?\s*=\s*(?P<h>[0-9.eE+-]+)")
_BOX = re.compile(r"[Bb]ox size\s*[:=]\s*(?P<side>[0-9.eE+-]+)\s*Mpc/h")
_UNITS = re.compile(
    r"(?P<what>Masses|Positions) in (?P<unit>Msun|[kM]pc)(?P<h>\s*/\s*h)?(?P<proper>.*physical)?"
)
_LARGEST_H_DIFFERENCE = 0.01


def read_rockstar(path: str | Path, *, cosmology: Cosmology, redshift: float) -> Halos:
    """Read a Rockstar catalogue: see `catalogue.read_catalogue`.

    The parent is the column ``PID`` that Rockstar's find_parents adds; without it a halo lies in the smallest
    more massive one within whose R200c its centre is. Where there is no ``M200c``, it is made from ``M500c``
    or ``Mvir`` (of Bryan & Norman 1998) and the scale radius ``Rs``, for the NFW profile that these give.
    """
    text = TextTable(_NAMES, _OPTIONAL, "a Rockstar catalogue", {"hosthalo": "ahf"})
    file = text.read_all(path, _PIECE, ".*.ascii")
    said = _Comments(file, text.comments)
    if said.h is not None and abs(said.h / cosmology.h - 1.0) > _LARGEST_H_DIFFERENCE:
        raise InputError(
            f"{file}: the catalogue's h is {said.h:g}, the snapshot's {cosmology.h:g}: another simulation"
        )
    if "scale_factor" in text.words:  # a column of consistent-trees' hlists
        scale = text.numbers("scale_factor")
        if not (scale > 0).all() or np.ptp(scale) > 1e-6:
            raise InputError(
                f"{file}: column scale is not one scale factor, above 0: give one file a snapshot"
            )
        said.redshift = 1.0 / float(scale[0]) - 1.0
    halo_id = text.integers("id")
    # By the snapshot's redshift: a scale factor of four digits puts a halo of a large box 50 kpc off.
    mass, origin = _m200c(text, file, cosmology, redshift, said)
    centre = np.stack([text.numbers(axis) for axis in "xyz"], 1) * said.length_kpc(cosmology, redshift)
    used = mass > 0
    parent = text.integers("parent")[used] if "parent" in text.words else None
    halo_id, mass, centre = halo_id[used], mass[used], centre[used]
    radius = cosmology.radius_200c_kpc(mass, redshift)
    if parent is None:
        box = said.box / cosmology.h / (1.0 + redshift)
        host = hosts_by_position(halo_id, centre, mass, radius, box)
    else:
        host = np.where(parent < 0, NO_HOST, parent)
    # A table of distinct halos alone tells nothing of what is inside them.
    listed = bool((host != NO_HOST).any())
    return Halos.of(
        file,
        halo_id=halo_id,
        host_id=host,
        centre_kpc=centre,
        M200c_msun=mass,
        R200c_kpc=radius,
        f_sub=substructure_fraction(halo_id, host, mass) if listed else None,
        redshift=said.redshift,
        source="rockstar",
        mass_origin=origin,
    )


class _Comments:
    """What the lines that begin with ``#`` say: scale factor, h, box, units."""

    def __init__(self, path: Path, comments: list[str]) -> None:
        self.redshift, self.box = math.nan, 0.0
        self.h: float | None = None
        self._length, self._length_h, self._proper, self.mass_h = 1e3, True, False, True
        for line in comments:
            if match := _SCALE_FACTOR.search(line):
                self.redshift = 1.0 / _positive(match["a"], line, path) - 1.0
            if line.startswith(("#Om", "# Om")) and (match := _HUBBLE.search(line)):
                self.h = _positive(match["h"], line, path)
            if match := _BOX.search(line):
                self.box = 1e3 * _positive(match["side"], line, path)
            if match := _UNITS.search(line):
                if match["what"] == "Masses":
                    self.mass_h = match["h"] is not None
                elif match["unit"] != "Msun":
                    self._length = {"kpc": 1.0, "Mpc": 1e3}[match["unit"]]
                    self._length_h, self._proper = match["h"] is not None, match["proper"] is not None

    def length_kpc(self, cosmology: Cosmology, redshift: float) -> float:
        """Proper kpc of the unit of positions."""
        return (
            self._length
            / (cosmology.h if self._length_h else 1.0)
            / (1.0 if self._proper else 1.0 + redshift)
        )


def _positive(word: str, line: str, path: Path) -> float:
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if not 0.0 < value < 1e6:
        raise InputError(f"{path}: the line {line[:60]!r} does not give a positive number: damaged")
    return value


def _m200c(
    text: TextTable, path: Path, cosmology: Cosmology, redshift: float, said: _Comments
) -> tuple[NDArray[np.float64], str]:
    """(n,) M200c in Msun, and where it comes from in words."""
    unit = 1.0 / (cosmology.h if said.mass_h else 1.0)

    def column(name: str) -> NDArray[np.float64]:
        values = text.numbers(name)
        if np.isnan(values).any():
            raise InputError(f"{path}: column {name} holds a number that is not finite")
        return values * unit

    if "m200c" in text.words:
        return column("m200c"), "catalogue"
    contrasts = {"m500c": 500.0, "mvir": virial_overdensity(cosmology, redshift)}
    given = next((name for name in contrasts if name in text.words), None)
    if given is None or "scale_radius" not in text.words:
        raise InputError(
            f"{path}: has no column M200c, nor M500c or Mvir with the scale radius Rs to make it from: "
            f"{', '.join(text.columns[:12])}, ... (in Rockstar's configuration, MASS_DEFINITION2 = 200c)"
        )
    scale_kpc = text.numbers("scale_radius") / cosmology.h / (1.0 + redshift)
    mass = column(given)
    critical = cosmology.critical_density_msun_kpc3(redshift)
    made = nfw_m200c(mass, scale_kpc, contrasts[given], critical)
    name = {"m500c": "M500c", "mvir": "Mvir"}[given]
    return made, f"made from {name} and Rs for an NFW profile"


def virial_overdensity(cosmology: Cosmology, redshift: float) -> float:
    """Mean density of a virialised halo over the critical one: Bryan & Norman (1998), equation 6."""
    growth = cosmology.hubble_km_s_mpc(redshift) / (100.0 * cosmology.h)
    x = cosmology.omega_m * (1.0 + redshift) ** 3 / growth**2 - 1.0
    return 18.0 * math.pi**2 + 82.0 * x - 39.0 * x**2


def nfw_m200c(
    mass_msun: NDArray[np.float64],
    scale_radius_kpc: NDArray[np.float64],
    overdensity: float,
    critical_msun_kpc3: float,
) -> NDArray[np.float64]:
    """(n,) M200c of NFW halos whose mass at another overdensity is known.

    Parameters
    ----------
    mass_msun
        (n,) mass inside the radius of mean density ``overdensity`` times the critical; 0 stays 0.
    scale_radius_kpc
        (n,) proper r_s; where it is not positive, a concentration of 5 at ``overdensity`` is taken.
    overdensity, critical_msun_kpc3
        The definition of the masses, and the critical density.
    """
    radius = np.cbrt(np.maximum(mass_msun, 0.0) / (4.0 / 3.0 * math.pi * overdensity * critical_msun_kpc3))
    known = (scale_radius_kpc > 0) & (radius > 0)
    concentration = np.where(known, radius / np.where(known, scale_radius_kpc, 1.0), 5.0).clip(0.1, 1e3)
    x = np.geomspace(1e-3, 1e5, 20_000)
    log_density = np.log(enclosed_mass(x) / x**3)  # falls with x: interpolated the other way round
    wanted = np.log(enclosed_mass(concentration) / concentration**3) + math.log(200.0 / overdensity)
    outer = np.exp(np.interp(-wanted, -log_density, np.log(x)))
    return np.maximum(mass_msun, 0.0) * enclosed_mass(outer) / enclosed_mass(concentration)
