"""Levels: what the instruments of an observed store are. Each figure says where it comes from.

A figure without a paper is marked ``assumed``: round, of the right order, part of the benchmark's definition.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import yaml

from three_hundred_maps.errors import InputError

WIDE = "-wide"
"""How the name of an ideal store ends whose observed ones are called ...-observed-LEVEL."""

PERFECT = "perfect"
"""The level whose maps are ideal but for the observer's frame."""

MAG_LIMIT_DENSITY = {48.5: 6.4e-3, 28.5: 6.4e5, 28.0: 1.0e6, 26.5: 4.0e6}
"""Msun kpc-2 of a surface brightness limit in mag arcsec-2 of the r band, for M/L_r = 2.5, before dimming.

Twice what a solar magnitude of 4.65 gives: a limit of 0.8 mag less."""


@dataclass(frozen=True)
class SzInstrument:
    """A Compton y map.

    Parameters
    ----------
    beam_fwhm_arcsec
        Of a Gaussian beam.
    depth_y_arcmin
        White noise: its rms in a pixel is this over the pixel's side in arcmin.
    source
        Of the figures.
    """

    beam_fwhm_arcsec: float
    depth_y_arcmin: float
    source: str


@dataclass(frozen=True)
class XrayInstrument:
    """A count image of 0.5-2 keV.

    Parameters
    ----------
    beam_fwhm_arcsec
        Of a Gaussian point-spread function.
    exposure_s
        In s.
    background
        Counts s-1 arcmin-2, sky and particles together.
    counts_per_flux
        Counts s-1 for 1 erg s-1 cm-2 of 0.5-2 keV, in cm2 erg-1.
    source
        Of the figures.
    solar_metallicity
        Of the gas, in solar units: it decides with the temperature what share of the light is in the band.
    """

    beam_fwhm_arcsec: float
    exposure_s: float
    background: float
    counts_per_flux: float
    source: str
    solar_metallicity: float = 0.3


@dataclass(frozen=True)
class StarInstrument:
    """A map of starlight, as stellar surface density.

    Parameters
    ----------
    limit_mag
        Surface brightness limit, mag arcsec-2 in r, one of `MAG_LIMIT_DENSITY`.
    source
        Of the figure.
    """

    limit_mag: float
    source: str

    def __post_init__(self) -> None:
        if self.limit_mag not in MAG_LIMIT_DENSITY:
            raise InputError(
                f"StarInstrument: no density for a limit of {self.limit_mag:g} mag arcsec-2; give it in"
                f" MAG_LIMIT_DENSITY, or take one of {', '.join(map(str, MAG_LIMIT_DENSITY))}"
            )

    @property
    def limit_msun_kpc2(self) -> float:
        """The limit as a stellar surface density at z = 0."""
        return MAG_LIMIT_DENSITY[self.limit_mag]


@dataclass(frozen=True)
class ShearInstrument:
    """Shapes of background galaxies.

    Parameters
    ----------
    galaxies_arcmin2
        Effective number of sources a square arcminute.
    source_redshift
        One redshift for all of them.
    source
        Of the figures.
    shape_noise
        Standard deviation of one component of one galaxy's shape.
    """

    galaxies_arcmin2: float
    source_redshift: float
    source: str
    shape_noise: float = 0.26


@dataclass(frozen=True)
class Level:
    """A set of instruments; a view whose instrument is None is not in the store.

    Parameters
    ----------
    name, title
        As in commands, and in a table.
    redshifts
        Halos are placed evenly between these.
    """

    name: str
    title: str
    sz: SzInstrument | None
    xray: XrayInstrument | None
    star: StarInstrument | None
    shear: ShearInstrument | None
    redshifts: tuple[float, float] = (0.1, 0.6)

    @property
    def views(self) -> tuple[str, ...]:
        """The views of a store of this level, the target last."""
        views = [name for name in ("sz", "xray", "star") if getattr(self, name) is not None]
        return (*views, *(("shear1", "shear2") if self.shear else ()), "mass")

    @property
    def ideal_views(self) -> tuple[str, ...]:
        """The views that the ideal store must hold."""
        views = [name for name in ("sz", "xray", "star") if getattr(self, name) is not None]
        return (*views, "mass")

    @classmethod
    def of_recipe(cls, recipe: str) -> Level:
        """The level that the recipe of an observed store declares, be it shipped or one's own."""
        said = yaml.safe_load(recipe)["observe"]
        instruments = {
            "sz": SzInstrument,
            "xray": XrayInstrument,
            "star": StarInstrument,
            "shear": ShearInstrument,
        }
        made = {name: kind(**said[name]) for name, kind in instruments.items() if said[name] is not None}
        return cls(**{**said, **made, "redshifts": tuple(said["redshifts"])})

    def declaration(self) -> dict[str, Any]:
        """All figures as plain values: part of an observed store's recipe."""
        return {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(self).items()}


_EROSITA = "Merloni et al. 2024 (A&A 682, A34): survey PSF of 26 arcsec half-energy width, taken as the FWHM"
_XRAY_COUNTS = 1.1e12
"""Assumed for all but ROSAT: of eROSITA's seven telescopes; XMM's EPIC collects as many to a factor of 2."""
_NOTHING = "none: what the other levels' instruments are measured against"

LEVELS: dict[str, Level] = {
    level.name: level
    for level in (
        Level(
            "pointed",
            "pointed: NIKA2, XMM-Newton, a deep imager, HST shapes",
            SzInstrument(
                17.6,
                4e-6,
                "beam: Perotto et al. 2020 (A&A 637, A71), NIKA2 at 150 GHz; depth assumed",
            ),
            XrayInstrument(
                10.0,
                3e4,
                4e-3,
                _XRAY_COUNTS,
                "exposure, PSF and background assumed, of the order of a usual XMM-Newton EPIC pointing",
            ),
            StarInstrument(28.5, "assumed, of the order of deep Subaru HSC imaging"),
            ShearInstrument(50.0, 1.0, "assumed, of the order of HST mosaics of clusters"),
        ),
        Level(
            "deep",
            "deep: SPT-3G, eRASS:5, LSST",
            SzInstrument(
                72.0,
                1.2e-6,
                "beam and depth assumed: SPT-3G main survey, 2.5 uK arcmin at 150 GHz (Prabhu et al. 2024,"
                " arXiv 2403.17925)",
            ),
            XrayInstrument(
                26.0, 1e3, 3e-3, _XRAY_COUNTS, f"{_EROSITA}; exposure and background assumed, of eRASS:5"
            ),
            StarInstrument(28.0, "assumed, of the order of ten years of LSST"),
            ShearInstrument(
                25.0,
                0.9,
                "Chang et al. 2013 (MNRAS 434, 2121): 26 arcmin-2 for LSST after masks; redshift assumed",
            ),
        ),
        Level(
            "wide",
            "wide: ACT DR6, eRASS:1, DES",
            SzInstrument(
                84.0,
                5.8e-6,
                "beam and depth assumed: ACT DR6, median 10 uK arcmin (Naess et al. 2025, arXiv 2503.14451)",
            ),
            XrayInstrument(
                26.0, 150.0, 3e-3, _XRAY_COUNTS, f"{_EROSITA}; exposure and background assumed, of eRASS:1"
            ),
            StarInstrument(26.5, "assumed, of the order of DES co-adds"),
            ShearInstrument(
                6.0, 0.7, "assumed, of the order of the DES Y3 shapes (Gatti et al. 2021, MNRAS 504, 4312)"
            ),
        ),
        Level(
            "rosat",
            "rosat: a ROSAT PSPC pointing at a nearby cluster",
            None,
            XrayInstrument(
                25.0,
                2e3,
                3.0e-4,
                8.3e10,
                "PSF: 25 arcsec at 1 keV (HEASARC, ROSAT PSPC); background: measured beyond 24 arcmin of"
                " Abell 3158; counts per flux: 1.2e-11 erg cm-2 a count, assumed (it gives that cluster"
                " 2.3e-11 erg s-1 cm-2)",
            ),
            None,
            None,
            redshifts=(0.05, 0.07),
        ),
        Level(
            PERFECT,
            "perfect: instruments without beam and noise, in the observer's frame",
            SzInstrument(0.0, 0.0, _NOTHING),
            XrayInstrument(0.0, 1e12, 0.0, _XRAY_COUNTS, _NOTHING),
            StarInstrument(48.5, _NOTHING),
            ShearInstrument(1e12, 1.0, _NOTHING),
        ),
    )
}
"""Every level by name."""

BENCHMARK_LEVELS = ("pointed", "deep", "wide")
"""Those that the task ``observed`` is scored on."""


def get_level(name: str) -> Level:
    """A level by name; InputError for one that is not known."""
    if name not in LEVELS:
        raise InputError(f"--level {name}: there are {', '.join(LEVELS)}")
    return LEVELS[name]


def observed_name(name: str, level: Level) -> str:
    """What the observed store of an ideal one is called."""
    return f"{name.removesuffix(WIDE)}-observed-{level.name}"


def observed_recipe(recipe: str, level: Level) -> str:
    """The recipe of an observed store: that of the ideal one, and every figure of the level."""
    content = {**(yaml.safe_load(recipe) or {}), "observe": level.declaration()}
    return yaml.safe_dump(content, sort_keys=True, allow_unicode=True)
