"""Bolometric emissivity of hot gas: the shipped table, AtomDB where it is installed, bremsstrahlung.

A source answers Lambda(T, Z) / n_H^2 in erg cm^3 s^-1, so that a particle's luminosity is
Lambda n_H^2 V = Lambda (X / m_p)^2 m rho.
"""

from __future__ import annotations

import functools
import importlib
import importlib.resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.errors import InputError
from three_hundred_maps.units import HYDROGEN_FRACTION, KEV_ERG, KEV_K

TABLE_SOLAR_METALLICITY = 0.01295
"""Mass fraction of metals that the shipped table calls solar (Wiersma, Schaye & Smith 2009)."""


ATOMDB_LOG10_T_K = np.linspace(4.0, 9.0, 51)
ENERGIES_KEV = np.concatenate([[1e-3], np.geomspace(1.05e-3, 100.0, 6000)])
"""Edges of the photon energies that are summed: all that AtomDB tabulates and the bolometric sum needs."""

METALS = (6, 7, 8, 10, 12, 13, 14, 16, 18, 20, 26, 28)
"""Nuclear charges of the elements beyond helium that emit noticeably, all of APEC's usual set."""

AG89_METALLICITY = 0.0189
"""Mass fraction of metals of Anders & Grevesse 1989, the abundances that AtomDB's data are made with."""


SOFT_BAND_KEV = (0.5, 2.0)
"""Rest-frame band of the view ``xray_soft``."""

_METAL_BAND_SHARES = {
    0.1: 0.05, 0.2: 0.30, 0.3: 0.50, 0.5: 0.70, 1.0: 0.78, 2.0: 0.65, 3.0: 0.53, 5.0: 0.39, 10.0: 0.23,
    20.0: 0.14,
}  # fmt: skip
"""k_B T in keV -> estimated share of the metals' light in `SOFT_BAND_KEV`: see `soft_share`."""


class TableSource:
    """Lambda / n_H^2 = lambda_0(T) + (Z / Z_sun) lambda_Z(T), interpolated in log T and log Lambda.

    Nothing below the table, which is evenly spaced in log T, and sqrt(T) above it.
    """

    def __init__(
        self,
        name: str,
        log10_temperature_K: NDArray[np.float64],
        primordial: NDArray[np.float64],
        metals: NDArray[np.float64],
        solar_metallicity: float,
        electrons: NDArray[np.float64],
    ) -> None:
        self.name = name
        self.log10_temperature_K = np.asarray(log10_temperature_K, np.float64)
        self.solar_metallicity = float(solar_metallicity)
        self._electrons = electrons
        tiny = np.finfo(np.float64).tiny
        # log Lambda is what varies smoothly; a zero in the table becomes a number too small to matter
        self._log_primordial = np.log(np.maximum(primordial, tiny))
        self._log_metals = np.log(np.maximum(metals, tiny))

    def cooling_rate(
        self, temperature_K: NDArray[np.generic], metallicity: NDArray[np.generic]
    ) -> NDArray[np.float64]:
        """Lambda / n_H^2 in erg cm^3 s^-1, for absolute metal mass fractions; same shape as the inputs."""
        temperature = np.asarray(temperature_K, np.float64)
        first, last = self.log10_temperature_K[[0, -1]]
        low, high = 10.0**first, 10.0**last
        # one place in the table for both columns, and natural logarithms: powers of ten are slow
        cells = len(self.log10_temperature_K) - 1
        scale = cells / ((last - first) * np.log(10.0))
        place = (np.log(np.clip(temperature, low, high)) - np.log(low)) * scale
        cell = np.clip(place.astype(np.int32), 0, cells - 1)
        part = place - cell

        def between(column: NDArray[np.float64]) -> NDArray[np.float64]:
            return np.exp(column[cell] + part * np.diff(column)[cell])

        rate = between(self._log_metals)
        rate *= np.asarray(metallicity, np.float64) / self.solar_metallicity
        rate += between(self._log_primordial)
        if np.any(temperature > high):
            rate *= np.sqrt(np.maximum(temperature, high) / high)
        return np.where(temperature < low, 0.0, rate)

    def electrons_per_hydrogen(self, temperature_K: NDArray[np.generic]) -> NDArray[np.float64]:
        """n_e / n_H in equilibrium."""
        log_t = np.log10(np.asarray(temperature_K, np.float64))
        return np.interp(log_t, self.log10_temperature_K, self._electrons)


class Bremsstrahlung:
    """Thermal free-free emission of a fully ionised plasma, in closed form.

    1.426e-27 sqrt(T) g n_e (n_H + 4 n_He), Rybicki & Lightman 1979, eq. 5.15b, with the Gaunt factor 1.2
    and helium by mass 1 - X - Z; X = 0.76 (1 - Z) as in primordial gas.
    """

    name = "bremsstrahlung"
    gaunt_factor = 1.2

    def cooling_rate(
        self, temperature_K: NDArray[np.generic], metallicity: NDArray[np.generic]
    ) -> NDArray[np.float64]:
        """See `TableSource.cooling_rate`; the metallicity does not matter here."""
        temperature = np.asarray(temperature_K, np.float64)
        helium = (1.0 - HYDROGEN_FRACTION) / (4.0 * HYDROGEN_FRACTION)
        electrons, charges_squared = 1.0 + 2.0 * helium, 1.0 + 4.0 * helium
        return 1.426e-27 * self.gaunt_factor * np.sqrt(temperature) * electrons * charges_squared


EmissivitySource = TableSource | Bremsstrahlung


@functools.cache
def cie_table() -> TableSource:
    """The shipped table of collisional equilibrium (Wiersma, Schaye & Smith 2009), 1e4 to 1e9 K."""
    file = importlib.resources.files("three_hundred_maps") / "data" / "cooling_cie.csv"
    lines = [line for line in file.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    header = lines[0].split(",")
    columns = np.array([[float(value) for value in line.split(",")] for line in lines[1:]]).T
    table = dict(zip(header, columns, strict=True))
    return TableSource(
        "cie",
        table["log10_T_K"],
        table["lambda_hhe"],
        table["lambda_metals"],
        TABLE_SOLAR_METALLICITY,
        table["ne_over_nh"],
    )


def atomdb_source(session: Any = None) -> TableSource:
    """Tabulate Lambda / n_H^2 from a pyatomdb session, as the paper's tool does.

    The power of each element at solar abundance on 51 temperatures from 1e4 to 1e9 K, interpolated in log T
    and log Lambda; metals scale together with the particle's metallicity.

    Parameters
    ----------
    session
        A ``pyatomdb.spectrum.CIESession`` or an object with its ``set_response``, ``set_eebrems``,
        ``set_abund`` and ``return_spectrum``; None makes one.

    Raises
    ------
    InputError
        When pyatomdb or its data are not installed.
    """
    if session is None:
        session = _installed_session()
    session.set_response(ENERGIES_KEV, raw=True)
    centres_erg = 0.5 * (ENERGIES_KEV[1:] + ENERGIES_KEV[:-1]) * KEV_ERG

    def power(elements: tuple[int, ...]) -> NDArray[np.float64]:
        """erg cm^3 s^-1 per n_e n_H of these elements at solar abundance, at every temperature."""
        session.set_abund(np.arange(1, 31), 0.0)
        for element in elements:
            session.set_abund(element, 1.0)
        return np.array(
            [
                float(np.sum(np.asarray(session.return_spectrum(t / KEV_K, teunit="keV")) * centres_erg))
                for t in 10.0**ATOMDB_LOG10_T_K
            ]
        )

    # electrons scatter off each other whatever the metals: their bremsstrahlung goes with hydrogen and helium
    session.set_eebrems(True)
    primordial = power((1, 2))
    session.set_eebrems(False)
    metals = sum((power((element,)) for element in METALS), np.zeros(len(ATOMDB_LOG10_T_K)))
    electrons = cie_table().electrons_per_hydrogen(10.0**ATOMDB_LOG10_T_K)
    return TableSource(
        "atomdb",
        ATOMDB_LOG10_T_K,
        primordial * electrons,
        metals * electrons,
        AG89_METALLICITY,
        electrons,
    )


def _installed_session() -> Any:
    try:
        spectrum = importlib.import_module("pyatomdb.spectrum")
    except ImportError:
        raise InputError(
            "emissivity atomdb needs pyatomdb: pip install pyatomdb, then its data "
            "(https://atomdb.readthedocs.io); or use emissivity: cie"
        ) from None
    try:
        return spectrum.CIESession()
    except (OSError, KeyError, ValueError) as error:
        raise InputError(
            f"pyatomdb is installed but its data cannot be read ({error}): set ATOMDB to their folder"
        ) from None


def free_free_share(
    temperature_keV: NDArray[np.generic], band_keV: tuple[float, float]
) -> NDArray[np.float64]:
    """Share of thermal bremsstrahlung's light in a band, with the Gaunt factor of the Born approximation.

    That factor is (sqrt(3) / pi) exp(u / 2) K0(u / 2), u = E / k_B T (Rybicki & Lightman 1979, section 5.2),
    which holds where k_B T is far above Z^2 13.6 eV. Its integral is closed: the share below E is
    1 + x exp(-x) (K0(x) - K1(x)), x = E / 2 k_B T.
    """
    from scipy.special import k0e, k1e

    kT = np.asarray(temperature_keV, np.float64)

    def below(energy_keV: float) -> NDArray[np.float64]:
        x = 0.5 * energy_keV / kT
        return np.asarray(1.0 + x * np.exp(-2.0 * x) * (k0e(x) - k1e(x)))

    low, high = band_keV
    return below(high) - below(low)


@functools.cache
def _soft_shares() -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Temperatures in keV, and the shares of hydrogen with helium and of metals in `SOFT_BAND_KEV`."""
    kT = np.geomspace(0.02, 200.0, 401)
    metals = np.interp(np.log(kT), np.log(list(_METAL_BAND_SHARES)), list(_METAL_BAND_SHARES.values()))
    return kT, free_free_share(kT, SOFT_BAND_KEV), metals


def soft_share(
    source: EmissivitySource, temperature_K: NDArray[np.generic], metallicity: NDArray[np.generic]
) -> NDArray[np.float64]:
    """Share of a source's bolometric emission in 0.5-2 keV, rest frame; 0 where it emits nothing.

    Hydrogen and helium emit free-free light (`free_free_share`). Of the metals' light a share lies in the
    band that is estimated from which lines carry it: up to 1 keV nearly all but what lies below 0.5 keV;
    beyond, iron's K lines by their equivalent width (Rothenflug & Arnaud 1985, A&A 144, 431: about 1 keV at
    5 keV for solar iron), lines of silicon to calcium above 2 keV, and recombination light fall outside.

    At 0.3 solar the metals' part is 21 % of the band's light at 2 keV and 7 % at 5 keV: if that estimate is
    off by a quarter, the band's light is by 5 % and 2 %. Of five clusters of 8-12 keV in Bulbul et al. 2019
    (ApJ 871, 50), whose luminosities in both bands come from fits of APEC, four agree to 10 % and one, of
    12.4 keV, to 14 %. Below 1 keV the error is 20-30 %.
    """
    kT, of_primordial, of_metals = _soft_shares()
    log_t = np.log(np.maximum(np.asarray(temperature_K, np.float64), 1.0) / KEV_K)
    nothing = np.zeros(np.shape(metallicity))
    primordial = source.cooling_rate(temperature_K, nothing)
    total = source.cooling_rate(temperature_K, metallicity)
    band = primordial * np.interp(log_t, np.log(kT), of_primordial)
    band += (total - primordial) * np.interp(log_t, np.log(kT), of_metals)
    return np.divide(band, total, out=np.zeros_like(band), where=total > 0)


@functools.cache
def emissivity_source(name: str) -> EmissivitySource:
    """The source that a recipe names, ``cie``, ``atomdb`` or ``bremsstrahlung``: made once a process.

    Raises
    ------
    InputError
        For another name, or when AtomDB is not installed.
    """
    if name == "cie":
        return cie_table()
    if name == "bremsstrahlung":
        return Bremsstrahlung()
    if name == "atomdb":
        return atomdb_source()
    raise InputError(f"emissivity {name!r} is not known: use cie, atomdb or bremsstrahlung")
