"""What the baselines without a network share: command line, observables, and maps from the score grid."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from baselines.command import command_line, new_folder
from baselines.predict import ALL, Predicted
from baselines.settings import Parser, Settings
from three_hundred_maps.errors import InputError
from three_hundred_maps.geometry import MapGrid, score_log
from three_hundred_maps.keys import parse_views
from three_hundred_maps.progress import set_quiet
from three_hundred_maps.store.arrays import split_length
from three_hundred_maps.store.names import find_store
from three_hundred_maps.store.schema import SPLITS, TARGET
from three_hundred_maps.torch_data import Transforms, check_views

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


def log_total(maps: NDArray[np.floating], grid: MapGrid, floor: float, factor: Floats) -> Floats:
    """log10 of a view's sum inside R200c times ``factor``, in its units times pixels; (halo, los).

    It is at least ``floor``.
    """
    total = np.tensordot(np.asarray(maps, np.float64), grid.aperture, axes=([-2, -1], [0, 1]))
    return np.log10(np.maximum(total * factor, floor))


def run_baseline(
    program: str,
    description: str,
    write: Callable[[Path, Path, tuple[str, ...], Predicted], object],
    args: Sequence[str] | None,
    *,
    default_views: str | None,
    targets: bool = True,
) -> None:
    """The command line of a baseline: ``--views`` (where it has any), ``--data``, ``--out``, what to predict.

    ``write`` is given the store, the folder, the views and what to predict. ``targets``: whether it can
    predict other surface densities than the mass.
    """

    @command_line
    def run(words: list[str]) -> None:
        parser = Parser(prog=f"python -m baselines.{program}", description=description)
        parser.add_argument("--data", default="mini", help="a store, or the name of a config")
        parser.add_argument(
            "--out", type=Path, required=True, help="folder; the submission is OUT/submission"
        )
        parser.add_argument("--predict", help="a store or config to predict (default: that of --data)")
        parser.add_argument("--split", default="test", choices=(*SPLITS, ALL), help="what to predict of it")
        parser.add_argument("--quiet", action="store_true")
        if targets:
            parser.add_argument(
                "--target", default=TARGET, help=Settings.__dataclass_fields__["target"].metadata["help"]
            )
        if default_views is not None:
            parser.add_argument("--views", default=default_views, help=f"as {default_views}")
        options = parser.parse_args(words)
        if options.quiet:
            set_quiet(True)
        store = find_store(options.data)
        if split_length(store, "train") == 0:
            raise InputError(f"{store} has no halos in its split train")
        target = getattr(options, "target", TARGET)
        predicted = Predicted(
            find_store(options.predict) if options.predict else store, options.split, target
        )
        # Of a view that no task is on there is nothing to submit.
        _ = predicted.task
        views = parse_views(getattr(options, "views", ""))
        if views:
            check_views(store, "train", views, target)
        new_folder(options.out, ours=OUT_MARK)
        mark = f"baseline: {program}\nviews: {','.join(views) or 'none'}\ntarget: {target}\n"
        (options.out / OUT_MARK).write_text(mark)
        predicted.check(Transforms.from_store(store, views, target=target))
        write(store, options.out, views, predicted)
        print(options.out / "submission")

    run(args)
