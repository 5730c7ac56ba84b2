"""What the baselines without a network share: command line, observables, and maps from the score grid."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from baselines.command import check_units, command_line, units_of
from baselines.predict import ALL, Predicted, submit
from baselines.settings import Parser, Settings
from three_hundred_maps.errors import InputError
from three_hundred_maps.geometry import MapGrid, score_log
from three_hundred_maps.io import claim_folder
from three_hundred_maps.keys import parse_views
from three_hundred_maps.progress import set_quiet
from three_hundred_maps.store.arrays import root_attrs, split_length
from three_hundred_maps.store.local import find_store
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


@dataclass(frozen=True)
class Fitted:
    """What a baseline learnt from a store.

    Parameters
    ----------
    maps
        Of what is to be predicted, in blocks of halos (halo, los, y, x), Msun kpc-2.
    """

    maps: Iterable[np.ndarray]
    parameters: int
    description: str | None = None


@dataclass(frozen=True)
class Baseline:
    """A baseline without a network: its submission and its command line.

    Parameters
    ----------
    program, name
        Of the command, and on the leaderboard.
    fit
        Of the store, the views and what to predict.
    default_views
        Of the command; None where it uses none.
    targets
        Whether it can predict other surface densities than the mass.
    """

    program: str
    name: str
    help: str | None
    fit: Callable[[Path, tuple[str, ...], Predicted], Fitted]
    default_views: str | None = "sz,xray,star"
    targets: bool = True

    def write(
        self, store: Path, out: Path, views: tuple[str, ...] = (), predicted: Predicted | None = None
    ) -> Path:
        """Write the submission ``out/submission``, by default of the store's own test split."""
        predicted = predicted or Predicted(store)
        if views:
            check_views(store, "train", views, predicted.target)
        fitted = self.fit(store, views, predicted)
        return submit(
            out / "submission",
            predicted,
            trained_on=str(root_attrs(store)["name"]),
            name=self.name,
            track=views,
            maps=fitted.maps,
            parameters=fitted.parameters,
            description=fitted.description,
        )

    def main(self, args: Sequence[str] | None = None) -> None:
        """The command line: ``--views`` (where it has any), ``--data``, ``--out``, what to predict."""
        command_line(self._run)(args)

    def _run(self, words: list[str]) -> None:
        parser = Parser(prog=f"python -m baselines.{self.program}", description=self.help)
        parser.add_argument("--data", default="mini", help="a store, or the name of a config")
        parser.add_argument(
            "--out", type=Path, required=True, help="folder; the submission is OUT/submission"
        )
        parser.add_argument("--predict", help="a store or config to predict (default: that of --data)")
        parser.add_argument("--split", default="test", choices=(*SPLITS, ALL), help="what to predict of it")
        parser.add_argument("--quiet", action="store_true")
        if self.targets:
            parser.add_argument(
                "--target", default=TARGET, help=Settings.__dataclass_fields__["target"].metadata["help"]
            )
        if self.default_views is not None:
            parser.add_argument("--views", default=self.default_views, help=f"as {self.default_views}")
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
        for split in predicted.splits:
            check_units(predicted.store, split, units_of(store, views))
        predicted.check(Transforms.from_store(store, views, target=target))
        mark = {"baseline": self.program, "views": ",".join(views) or "none", "target": target}
        mark |= {"data": options.data, "predict": options.predict, "split": options.split}
        claim_folder(options.out, OUT_MARK, mark)
        print(self.write(store, options.out, views, predicted))
