"""AHF_halos catalogues as AHF writes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from three_hundred_maps.io import renamed_into_place
from three_hundred_maps.simulation.writers.content import count

_AXES = [f"E{axis}{along}" for axis in "abc" for along in "xyz"]
_SHAPE = ["lambda", "lambdaE", "Lx", "Ly", "Lz", "b", "c", *_AXES]
AHF_COLUMNS: Sequence[str] = (
    *("ID", "hostHalo", "numSubStruct", "Mhalo", "npart", "Xc", "Yc", "Zc", "VXc", "VYc", "VZc", "Rhalo"),
    *("Rmax", "r2", "mbp_offset", "com_offset", "Vmax", "v_esc", "sigV", *_SHAPE),
    *("ovdens", "nbins", "fMhires", "Ekin", "Epot", "SurfP", "Phi0", "cNFW"),
    *(f"{name}_{kind}" for kind in ("gas", "star") for name in ("n", "M", *_SHAPE, "Ekin", "Epot")),
)
"""The 83 columns of an AHF_halos file of a run with gas and stars, in AHF's order and newer naming."""

_AHF_INTEGERS = frozenset(("ID", "hostHalo", "numSubStruct", "npart", "nbins", "n_gas", "n_star"))


def write_ahf(path: str | Path, columns: Mapping[str, ArrayLike]) -> Path:
    """Write an AHF_halos catalogue.

    Parameters
    ----------
    path
        The file.
    columns
        Arrays (n,) by AHF's column name, in AHF's units (Msun/h, comoving kpc/h, km/s); names of
        `AHF_COLUMNS` that are not given are written as 0.

    Returns
    -------
    Path
        The file.
    """
    given = {name: np.asarray(values) for name, values in columns.items()}
    unknown = set(given) - set(AHF_COLUMNS)
    if unknown:
        raise ValueError(f"not columns of AHF: {', '.join(sorted(unknown))}")
    rows = count(given)
    text = ["#" + "\t".join(f"{name}({i + 1})" for i, name in enumerate(AHF_COLUMNS))]
    values = []
    for name in AHF_COLUMNS:
        column = given.get(name, np.zeros(rows))
        if name in _AHF_INTEGERS:
            values.append([str(int(value)) for value in column])
        elif name in ("Xc", "Yc", "Zc"):
            values.append([f"{float(value):.8f}" for value in column])
        else:
            values.append([f"{float(value):.8g}" for value in column])
    text += ["\t".join(row) for row in zip(*values, strict=True)]
    path = Path(path)
    with renamed_into_place(path) as partial:
        partial.write_text("\n".join(text) + "\n", encoding="ascii")
    return path
