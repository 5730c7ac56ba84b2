"""What the baselines without a network share: command line, observables, and maps from the score grid."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from baselines.command import new_folder, run_command
from baselines.settings import Parser
from three_hundred_maps.errors import InputError
from three_hundred_maps.geometry import MapGrid, score_log
from three_hundred_maps.keys import parse_views
from three_hundred_maps.progress import set_quiet
from three_hundred_maps.store.arrays import split_length
from three_hundred_maps.store.names import find_store

OUT_MARK = "baseline.yaml"
SHARPEN_STEPS = 30

Floats = NDArray[np.float64]


def sharpen(logs: Floats, pixel: float) -> Floats:
    """Maps whose score-grid logarithm is ``logs``: the score smooths a prediction once more.

    A fixed point of m <- m 10^(l - l(m)), as in van Cittert's and Richardson and Lucy's deconvolutions,
    begun at 10^l. Good to about 1e-3 dex for what varies over two pixels or more, as radial profiles do.

    Parameters
    ----------
    logs
        (..., y, x) dex of Msun kpc-2.
    """
    mass = 10.0**logs
    for _ in range(SHARPEN_STEPS):
        mass *= 10.0 ** (logs - score_log(mass, pixel))
    return mass


def log_total(maps: NDArray[np.floating], grid: MapGrid, floor: float) -> Floats:
    """log10 of a view's sum inside R200c, in its units times pixels, at least ``floor``; (halo, los)."""
    total = np.tensordot(np.asarray(maps, np.float64), grid.aperture, axes=([-2, -1], [0, 1]))
    return np.log10(np.maximum(total, floor))


def run_baseline(
    program: str,
    description: str,
    write: Callable[[Path, Path, tuple[str, ...]], object],
    args: Sequence[str] | None,
    *,
    default_views: str | None,
) -> None:
    """The command line of a baseline: ``--views`` (where it has any), ``--data``, ``--out``.

    ``write`` is given the store, the folder and the views.
    """

    def command(words: list[str]) -> None:
        parser = Parser(prog=f"python -m baselines.{program}", description=description)
        parser.add_argument("--data", default="mini", help="a store, or the name of a config")
        parser.add_argument(
            "--out", type=Path, required=True, help="folder; the submission is OUT/submission"
        )
        parser.add_argument("--quiet", action="store_true")
        if default_views is not None:
            parser.add_argument("--views", default=default_views, help=f"as {default_views}")
        options = parser.parse_args(words)
        if options.quiet:
            set_quiet(True)
        store = find_store(options.data)
        for split in ("train", "test"):
            if split_length(store, split) == 0:
                raise InputError(f"{store} has no halos in its split {split}")
        views = parse_views(getattr(options, "views", ""))
        new_folder(options.out, ours=OUT_MARK)
        (options.out / OUT_MARK).write_text(f"baseline: {program}\nviews: {','.join(views) or 'none'}\n")
        write(store, options.out, views)
        print(options.out / "submission")

    run_command(command, args)
