"""X-ray emissivities from AtomDB, for those who have pyatomdb and its data.

As the paper's tool does: the power of each element at solar abundance on 51 temperatures from 1e4 to 1e9 K,
interpolated in log T and log Lambda; metals scale together with the particle's metallicity.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.errors import InputError
from three_hundred_maps.mapping.emissivity import TableSource, cie_table
from three_hundred_maps.units import KEV_ERG, KEV_K

LOG10_TEMPERATURE_K = np.linspace(4.0, 9.0, 51)
ENERGIES_KEV = np.concatenate([[1e-3], np.geomspace(1.05e-3, 100.0, 6000)])
"""Edges of the photon energies that are summed: all that AtomDB tabulates and the bolometric sum needs."""

METALS = (6, 7, 8, 10, 12, 13, 14, 16, 18, 20, 26, 28)
"""Nuclear charges of the elements beyond helium that emit noticeably, all of APEC's usual set."""

AG89_METALLICITY = 0.0189
"""Mass fraction of metals of Anders & Grevesse 1989, the abundances that AtomDB's data are made with."""


def atomdb_source(session: Any = None) -> TableSource:
    """Tabulate Lambda / n_H^2 from a pyatomdb session.

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

    def power(elements: tuple[int, ...], electrons_with: tuple[int, ...] = ()) -> NDArray[np.float64]:
        """erg cm^3 s^-1 per n_e n_H of these elements at solar abundance, at every temperature."""
        session.set_abund(np.arange(1, 31), 0.0)
        for element in elements:
            session.set_abund(element, 1.0)
        return np.array(
            [
                float(np.sum(np.asarray(session.return_spectrum(t / KEV_K, teunit="keV")) * centres_erg))
                for t in 10.0**LOG10_TEMPERATURE_K
            ]
        )

    # electrons scatter off each other whatever the metals: their bremsstrahlung goes with hydrogen and helium
    session.set_eebrems(True)
    primordial = power((1, 2))
    session.set_eebrems(False)
    metals = sum((power((element,)) for element in METALS), np.zeros(len(LOG10_TEMPERATURE_K)))
    electrons = cie_table().electrons_per_hydrogen(10.0**LOG10_TEMPERATURE_K)
    return TableSource(
        "atomdb",
        "AtomDB through pyatomdb, elements at Anders & Grevesse 1989 abundances, metals scaled together",
        LOG10_TEMPERATURE_K,
        primordial * electrons,
        metals * electrons,
        AG89_METALLICITY,
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
