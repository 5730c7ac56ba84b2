"""Views: what is mapped. A view is a declaration; the registry makes it known by name.

A summed view maps ``sum(contribution) / area``; a weighted one ``sum(weight * contribution) / sum(weight)``.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.errors import InputError
from three_hundred_maps.mapping.emissivity import EmissivitySource, cie_table, soft_share
from three_hundred_maps.simulation.cosmology import Cosmology
from three_hundred_maps.simulation.particles import OPTIONAL_FIELDS, SPECIES, Cutout, Particles
from three_hundred_maps.units import (
    COMPTON_KPC2_PER_MSUN_K,
    KEV_K,
    KPC_CM,
    PROTON_MASS_G,
    SUN_G,
)

XRAY_UNIT_ERG_S = 1e44
"""X-ray maps are in 1e44 erg/s kpc^-2: in erg/s kpc^-2 a cluster's core (1e41) exceeds float32 (3e38)."""

HYDROGEN_PER_CM3 = SUN_G / KPC_CM**3 / PROTON_MASS_G
"""Hydrogen nuclei a cm^3 for one Msun kpc^-3 of hydrogen."""


@dataclass(frozen=True)
class GasCuts:
    """Which gas counts where: a recipe's ``simulation.gas``; the defaults are the paper's tools'.

    Parameters
    ----------
    drop_winds
        Leave decoupled winds out of every gas view.
    xray_min_temperature_K
        Gas at or below it emits no X-rays.
    xray_star_forming, sz_star_forming
        Whether star-forming gas counts.
    xray_max_hydrogen_density_cm3
        Hydrogen nuclei a cm^3 from which gas emits no X-rays; None for no limit.
    xray_max_share
        A particle that gives more than this share of the X-ray luminosity inside R200c emits none; None for
        no limit.
    """

    __pydantic_config__ = {"extra": "forbid"}  # of the recipe's reader

    drop_winds: bool = True
    xray_min_temperature_K: float = 1e6
    xray_star_forming: bool = False
    xray_max_hydrogen_density_cm3: float | None = None
    xray_max_share: float | None = None
    sz_star_forming: bool = True

    def __post_init__(self) -> None:
        if not self.xray_min_temperature_K >= 0:
            raise InputError("xray_min_temperature_K must be 0 or more")
        if self.xray_max_hydrogen_density_cm3 is not None and not self.xray_max_hydrogen_density_cm3 > 0:
            raise InputError("xray_max_hydrogen_density_cm3 must be positive")
        if self.xray_max_share is not None and not 0 < self.xray_max_share <= 1:
            raise InputError("xray_max_share must be above 0 and at most 1")


@dataclass(frozen=True)
class MapContext:
    """What contributions may need beyond the particles.

    Parameters
    ----------
    gas, emissivity
        The gas rules and the X-ray emissivity.
    xray_limit
        1e44 erg/s: what ``gas.xray_max_share`` is for this halo; a particle above it emits no X-rays.
    halo_velocity
        (3,) km/s, peculiar: the mean of all mass inside R200c; None where no view needs velocities.
    sight
        (3,) unit vector to the observer, for the views that ask for it; None for the others.
    cosmology, redshift
        Of the snapshot, which tell the ages of stars; None and 0 where no view needs these.
    star_light
        File and sha256 of the user's own table of stellar populations; None for the shipped one.
    """

    gas: GasCuts = GasCuts()
    emissivity: EmissivitySource = field(default_factory=cie_table)
    xray_limit: float | None = None
    halo_velocity: NDArray[np.float64] | None = None
    sight: NDArray[np.float64] | None = None
    cosmology: Cosmology | None = None
    redshift: float = 0.0
    star_light: tuple[Path, str] | None = None


Contribution = Callable[[Particles, MapContext], NDArray[np.generic]]
"""(particles of one species, context) -> (n,) what each adds, as an integral over its area."""


@dataclass(frozen=True)
class View:
    """One kind of map.

    Parameters
    ----------
    name, units, long_name
        As in the store; ``units`` of the map, that is of the contribution divided by kpc^2 (of the
        contribution itself for a weighted view).
    species
        Names of the particle species that contribute, out of `SPECIES`.
    contribution
        What each particle adds, integrated over its area; for a weighted view the averaged quantity.
    weight
        None for a sum; else the weight of each particle. Where no weight falls on a pixel the map is 0.
    spread
        Whether particles without a kernel are spread to their 32nd neighbour.
    needs
        Fields of `OPTIONAL_FIELDS` that the particles must have: they are read only for such a view.
    sight
        Whether the contribution depends on the line of sight, which it finds as ``context.sight``.
    signed
        Whether the contribution, and so the map, may be below 0.
    dispersion
        Of a weighted view: map the standard deviation of the contribution, not its mean; the contribution
        may be below 0.
    """

    name: str
    units: str
    long_name: str
    species: tuple[str, ...]
    contribution: Contribution
    weight: Contribution | None = None
    spread: bool = False
    needs: tuple[str, ...] = ()
    sight: bool = False
    signed: bool = False
    dispersion: bool = False

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise InputError(f"view {self.name!r}: a name is letters, digits and underscores")
        if self.dispersion and self.weight is None:
            raise InputError(f"view {self.name}: a dispersion needs a weight")
        strange = sorted(set(self.needs) - set(OPTIONAL_FIELDS))
        if strange:
            raise InputError(
                f"view {self.name}: needs {strange[0]}; there are {', '.join(sorted(OPTIONAL_FIELDS))}"
            )
        unknown = sorted(set(self.species) - set(SPECIES))
        if unknown or not self.species:
            raise InputError(
                f"view {self.name}: species {', '.join(unknown) or '(none)'} not known; "
                f"there are {', '.join(SPECIES)}"
            )


def needed_fields(views: Iterable[View]) -> tuple[str, ...]:
    """The fields beyond the usual ones that views are made of."""
    return tuple(sorted({name for view in views for name in view.needs}))


def particle_mass(particles: Particles, context: MapContext) -> NDArray[np.generic]:
    """Mass in Msun."""
    return particles.mass


def _gas(particles: Particles, name: str) -> NDArray[np.float64]:
    # float64 first: masses times densities times 1e44 do not fit float32
    return particles.fields[name].astype(np.float64)


def _not_wind(particles: Particles, cuts: GasCuts) -> NDArray[np.bool_]:
    if cuts.drop_winds:
        return np.asarray(particles.fields["wind"] == 0)
    return np.ones(len(particles), bool)


def coupled_mass(particles: Particles, context: MapContext) -> NDArray[np.float64]:
    """Mass in Msun of the gas that is not in a decoupled wind; 0 for the rest."""
    return np.where(_not_wind(particles, context.gas), particles.mass.astype(np.float64), 0.0)


def _scatters(particles: Particles, cuts: GasCuts) -> NDArray[np.bool_]:
    keep = _not_wind(particles, cuts)
    if not cuts.sz_star_forming:
        keep &= _gas(particles, "star_formation_rate") <= 0
    return keep


def electron_mass(particles: Particles, context: MapContext) -> NDArray[np.float64]:
    """m X (n_e/n_H) in Msun: free electrons times the proton's mass, of the gas that scatters."""
    electrons = particles.mass.astype(np.float64)
    electrons *= _gas(particles, "hydrogen_fraction")
    electrons *= _gas(particles, "electron_abundance")
    return np.where(_scatters(particles, context.gas), electrons, 0.0)


def compton_area(particles: Particles, context: MapContext) -> NDArray[np.float64]:
    """Integrated Compton y in kpc^2: sigma_T k_B / (m_e c^2 m_p) m X (n_e/n_H) T; non-relativistic."""
    keep = _scatters(particles, context.gas)
    y = COMPTON_KPC2_PER_MSUN_K * particles.mass.astype(np.float64)
    y *= _gas(particles, "hydrogen_fraction")
    y *= _gas(particles, "electron_abundance")
    y *= _gas(particles, "temperature")
    return np.where(keep, y, 0.0)


def _emits_xrays(particles: Particles, context: MapContext) -> NDArray[np.bool_]:
    cuts = context.gas
    keep = _not_wind(particles, cuts) & (_gas(particles, "temperature") > cuts.xray_min_temperature_K)
    if not cuts.xray_star_forming:
        keep &= _gas(particles, "star_formation_rate") <= 0
    if cuts.xray_max_hydrogen_density_cm3 is not None:
        hydrogen_cm3 = HYDROGEN_PER_CM3 * _gas(particles, "hydrogen_fraction") * _gas(particles, "density")
        keep &= hydrogen_cm3 < cuts.xray_max_hydrogen_density_cm3
    return keep


def xray_luminosity(particles: Particles, context: MapContext) -> NDArray[np.float64]:
    """Bolometric luminosity in 1e44 erg/s: Lambda(T, Z) n_H^2 V = Lambda (X / m_p)^2 m rho."""
    keep = _emits_xrays(particles, context)
    hydrogen = _gas(particles, "hydrogen_fraction")
    # (X rho / m_p)^2 V with V = m / rho; one density in cm^-3, the other as nuclei in the particle
    hydrogen_cm3 = HYDROGEN_PER_CM3 * hydrogen * _gas(particles, "density")
    nuclei_per_unit = hydrogen * particles.mass.astype(np.float64) * (SUN_G / PROTON_MASS_G / XRAY_UNIT_ERG_S)
    rate = context.emissivity.cooling_rate(particles.fields["temperature"], particles.fields["metallicity"])
    luminosity = np.where(keep, rate * hydrogen_cm3 * nuclei_per_unit, 0.0)
    if context.xray_limit is not None:
        luminosity[luminosity > context.xray_limit] = 0.0
    return luminosity


def xray_soft_luminosity(particles: Particles, context: MapContext) -> NDArray[np.float64]:
    """Luminosity in 0.5-2 keV, rest frame, in 1e44 erg/s: the bolometric one times `soft_share`."""
    metals, temperature = particles.fields["metallicity"], particles.fields["temperature"]
    return xray_luminosity(particles, context) * soft_share(context.emissivity, temperature, metals)


def with_xray_limit(context: MapContext, gas: Particles, R200c_kpc: float) -> MapContext:
    """The context with ``xray_limit`` set for this halo, where its gas rules have a ``xray_max_share``."""
    share = context.gas.xray_max_share
    if share is None or context.xray_limit is not None:
        return context
    inner = gas.select(np.linalg.norm(gas.position, axis=1) < R200c_kpc)
    return replace(context, xray_limit=share * float(xray_luminosity(inner, context).sum()))


def context_of_halo(
    context: MapContext, cutout: Cutout, R200c_kpc: float, views: Iterable[View]
) -> MapContext:
    """The context with what of it is measured of a halo, as far as the gas rules and the views need it.

    Raises
    ------
    InputError
        Where a view needs velocities and particles have none.
    """
    context = with_xray_limit(context, cutout["gas"], R200c_kpc)
    if "formation_time" in needed_fields(views):
        context = replace(context, cosmology=cutout.cosmology, redshift=cutout.redshift)
    if "velocity" not in needed_fields(views) or context.halo_velocity is not None:
        return context
    mass, momentum = 0.0, np.zeros(3)
    for species in SPECIES:
        inner = cutout[species]
        inner = inner.select(np.linalg.norm(inner.position, axis=1) < R200c_kpc)
        if len(inner):
            if "velocity" not in inner.fields:
                raise InputError(f"{species.replace('_', ' ')} without velocity, which a view is made of")
            weight = inner.mass.astype(np.float64)
            mass += float(weight.sum())
            # without BLAS, whose threads may add in another order
            momentum += np.einsum("i,ij->j", weight, inner.fields["velocity"].astype(np.float64))
    return replace(context, halo_velocity=momentum / mass if mass > 0 else momentum)


def temperature_keV(particles: Particles, context: MapContext) -> NDArray[np.float64]:
    """k_B T in keV."""
    return _gas(particles, "temperature") / KEV_K


def spectroscopic_weight(particles: Particles, context: MapContext) -> NDArray[np.float64]:
    """n^2 T^(-3/4) V, the spectroscopic-like weight of Mazzotta et al. 2004, of the gas that emits X-rays."""
    keep = _emits_xrays(particles, context)
    if context.xray_limit is not None:
        keep &= xray_luminosity(particles, context) > 0
    temperature = np.where(keep, _gas(particles, "temperature"), 1.0)
    weight = particles.mass.astype(np.float64) * _gas(particles, "density") * temperature**-0.75
    return np.where(keep, weight, 0.0)


VIEWS: dict[str, View] = {}
"""The registry: every known view by name."""


def evaluate(
    function: Contribution, particles: Particles, context: MapContext, of: str
) -> NDArray[np.float64]:
    """(n,) what each particle contributes; ``of`` names the view in errors.

    Raises
    ------
    InputError
        One line with file and line number for an error in a user's code, or for another shape.
    """
    try:
        values = np.asarray(function(particles, context), dtype=np.float64)
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{of}: {user_error(error, function)}") from error
    if values.shape != (len(particles),):
        raise InputError(f"{of}: the contribution of {len(particles)} particles has the shape {values.shape}")
    return values


BRIGHTEST = 10
"""Particles whose share of a view's light `brightest_share` gives."""


def brightest_share(
    view: View, particles: Mapping[str, Particles], R200c_kpc: float, context: MapContext
) -> float:
    """Share of a summed view's light inside R200c that its ten brightest particles give; 0 without light.

    Parameters
    ----------
    particles
        By species, around the halo.
    """
    brightest, total = np.zeros(0), 0.0
    for species in view.species:
        near = particles[species]
        near = near.select(np.einsum("ij,ij->i", near.position, near.position) < np.float32(R200c_kpc) ** 2)
        if len(near):
            light = evaluate(view.contribution, near, context, f"view {view.name}")
            total += float(light.sum())
            few = np.partition(light, -BRIGHTEST)[-BRIGHTEST:] if len(light) > BRIGHTEST else light
            brightest = np.sort(np.concatenate([brightest, few]))[-BRIGHTEST:]
    return float(brightest.sum()) / total if total > 0 else 0.0


def user_error(error: Exception, function: Callable[..., object] | None = None) -> str:
    """One line on an error in a user's code: what, and in which file and line.

    Where ``function`` is given, the last line of its file that was running; else the last line of all.
    """
    what = f"{type(error).__name__}: {error}"
    if isinstance(error, SyntaxError):
        return what  # it names its file and line itself
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith("<frozen")]
    code = getattr(function, "__code__", None)
    own = [f for f in frames if code is not None and f.filename == code.co_filename] or frames
    inside = [f for f in own if f.filename != __file__]
    return f"{what} ({inside[-1].filename}, line {inside[-1].lineno})" if inside else what


def register_view(view: View) -> View:
    """Make a view known by its name; the same declaration may be registered again.

    Raises
    ------
    InputError
        When another view already has the name.
    """
    if VIEWS.get(view.name, view) != view:
        raise InputError(f"there is already a view {view.name!r}: give yours another name")
    VIEWS[view.name] = view
    return view


def get_view(name: str) -> View:
    """A view by its registered name, or from a user's code as ``module:attribute``.

    Raises
    ------
    InputError
        When there is none, or what the module holds is not a `View`.
    """
    module_name, colon, attribute = name.partition(":")
    if not colon:
        if name not in VIEWS:
            raise InputError(
                f"no view {name!r}; there are {', '.join(sorted(VIEWS))}, and your own as module:attribute"
            )
        return VIEWS[name]
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # where an installed command would not look
    try:
        found = getattr(importlib.import_module(module_name), attribute)
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"view {name!r} cannot be loaded: {user_error(error)}") from error
    if not isinstance(found, View):
        raise InputError(f"view {name!r} is {type(found).__name__}, not a View")
    return register_view(found)


for _view in (
    View("sz", "1", "thermal SZ Compton y", ("gas",), compton_area),
    View(
        "xray",
        "1e44 erg s-1 kpc-2",
        "bolometric X-ray surface brightness, rest frame, over 4 pi",
        ("gas",),
        xray_luminosity,
    ),
    View(
        "xray_soft",
        "1e44 erg s-1 kpc-2",
        "X-ray surface brightness of 0.5-2 keV, rest frame, over 4 pi",
        ("gas",),
        xray_soft_luminosity,
    ),
    View(
        "star",
        "Msun kpc-2",
        "stellar surface density, spread to the 32nd neighbour",
        ("stars",),
        particle_mass,
        spread=True,
    ),
    View(
        "star_grainy",
        "Msun kpc-2",
        "stellar surface density, particle by particle: not an input, its grains tell R200c",
        ("stars",),
        particle_mass,
    ),
    View("mass", "Msun kpc-2", "total surface density, all particles", SPECIES, particle_mass),
    View("gas", "Msun kpc-2", "gas surface density", ("gas",), particle_mass),
    View(
        "dark_matter",
        "Msun kpc-2",
        "dark matter surface density",
        ("dark_matter", "low_resolution"),
        particle_mass,
    ),
    View(
        "temperature",
        "keV",
        "spectroscopic-like temperature; 0 without emitting gas",
        ("gas",),
        temperature_keV,
        spectroscopic_weight,
    ),
):
    register_view(_view)
