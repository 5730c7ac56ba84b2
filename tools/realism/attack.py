"""What sealed inputs tell of a halo's size: the attack on views that are sums of particles of one mass.

Where single particles show, the least sum of connected pixels is a particle's mass over R200c squared, and
with it M200c is known. Nothing of the kind may follow M200c among halos of like mass.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.stats import rankdata

from three_hundred_maps.display import markdown_table
from three_hundred_maps.store.arrays import read_split
from three_hundred_maps.store.schema import SPLITS

VIEWS = ("sz", "xray", "star")
"""What models are given. Gas is one piece whose sum is the halo's signal; stars can stand alone."""
BIN_DEX = 0.3
"""Width of the bins of log10 M200c within which ranks are compared."""
EVERY = 4
"""One in so many lines of sight is looked at; a halo's figure is the median."""

Image = NDArray[np.floating]


def least_blob(image: Image) -> float:
    """The least sum of connected pixels that hold anything."""
    labels, number = ndimage.label(image > 0)
    return float(np.min(ndimage.sum_labels(image, labels, np.arange(1, number + 1)), initial=np.inf))


def least_peak(image: Image) -> float:
    """The lowest pixel that none of its neighbours exceeds."""
    peaks = image[(image == ndimage.maximum_filter(image, 3)) & (image > 0)]
    return float(np.min(peaks, initial=np.inf))


def least_pixel(image: Image) -> float:
    """The lowest pixel that holds anything."""
    return float(np.min(image[image > 0], initial=np.inf))


def empty_share(image: Image) -> float:
    """The share of pixels that hold nothing."""
    return float(np.mean(image <= 0))


ATTACKS = {f.__name__: f for f in (least_blob, least_peak, least_pixel, empty_share)}


def rank_correlation(found: NDArray[np.floating], log_mass: NDArray[np.floating]) -> tuple[float, int]:
    """Correlation of ranks taken within bins of mass, and the number of halos in bins of three and more.

    Parameters
    ----------
    found, log_mass
        (halo,)

    Returns
    -------
    float, int
        0 where nothing differs; chance alone scatters it by the number to the power -1/2.
    """
    bins = np.floor((log_mass - log_mass.min()) / BIN_DEX).astype(int)
    ranks = []
    for members in (np.flatnonzero(bins == k) for k in np.unique(bins)):
        if len(members) > 2:
            pair = np.stack([rankdata(found[members]), rankdata(log_mass[members])])
            ranks.append(pair - pair.mean(axis=1, keepdims=True))
    x, y = np.concatenate(ranks, axis=1) if ranks else np.zeros((2, 0))
    norm = float(np.sqrt((x @ x) * (y @ y)))
    return (float(x @ y) / norm if norm > 0 else 0.0), len(x)


def attack(store: str | Path) -> dict[str, float]:
    """What particles show in a store's inputs: by name, as `attack_table` prints it.

    Returns
    -------
    dict
        ``pieces VIEW``: the share of maps in more than one piece, so that particles or groups of them stand
        alone. ``ATTACK``: `rank_correlation` of the star view, and ``halos``, of how many.
    """
    found: dict[str, list[float]] = {name: [] for name in ATTACKS}
    pieces: dict[str, list[bool]] = {view: [] for view in VIEWS}
    log_mass: list[float] = []
    for data in (read_split(store, split, VIEWS) for split in SPLITS):
        log_mass += np.log10(data.halos["M200c"]).tolist()
        for view, maps in data.maps.items():
            pieces[view] += [bool(ndimage.label(image > 0)[1] > 1) for los in maps for image in los[::EVERY]]
        for name, look in ATTACKS.items():
            found[name] += [
                float(np.median([look(image) for image in los[::EVERY]])) for los in data.maps["star"]
            ]
    correlations = {name: rank_correlation(np.array(v), np.array(log_mass)) for name, v in found.items()}
    return {
        **{f"pieces {view}": float(np.mean(flags)) for view, flags in pieces.items()},
        **{name: value for name, (value, _) in correlations.items()},
        "halos": max(number for _, number in correlations.values()),
    }


def attack_table(stores: Mapping[str, Mapping[str, float]]) -> str:
    """A Markdown table of `attack`, a column a store."""
    rows = [
        (f"{view}: maps in more than one piece", *(f"{row[f'pieces {view}']:.1%}" for row in stores.values()))
        for view in VIEWS
    ]
    for name in ATTACKS:
        words = f"star: rank correlation of the {name.replace('_', ' ')} with M200c"
        rows.append((words, *(f"{row[name]:+.2f}" for row in stores.values())))
    heads = [f"{label} ({row['halos']:.0f})" for label, row in stores.items()]
    return markdown_table(("measure", *heads), rows)
