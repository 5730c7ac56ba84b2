"""``python -m baselines.predict RUN --data STORE --out SUBMISSION``: any checkpoint, any store."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from baselines.command import check_units, command_line, find_store
from baselines.machine import find_machine
from baselines.model import MassModel, find_model, from_pretrained, read_model_config
from baselines.networks import count_parameters
from baselines.settings import Parser
from three_hundred_maps.errors import InputError
from three_hundred_maps.geometry import SCORE_FWHM, MapGrid
from three_hundred_maps.io import require_claimable
from three_hundred_maps.progress import progress, set_quiet
from three_hundred_maps.store.arrays import SplitArrays, iter_shards, read_split, root_attrs, split_length
from three_hundred_maps.store.schema import SPLITS, TARGET
from three_hundred_maps.torch_data import Transforms, check_views
from three_hundred_maps.torch_transforms import SCALINGS, fainter_or_brighter

if TYPE_CHECKING:
    from baselines.posterior_model import PosteriorModel

AUTHORS = ("The three_hundred_maps developers",)
BLOCK_HALOS = 4
SAMPLE_COUNT = (2, 64)
"""Least and greatest number of samples of a map, as the benchmark takes them."""
ALL = "all"
"""In place of a split: all of them, as the benchmark's task transfer scores."""
SAID_FROM = 0.01
"""Share of a view's pixels beyond the training range from which it is said; of the training set, 0.001."""


@dataclass(frozen=True)
class Predicted:
    """What is predicted: the maps of a view of a store's split, or those of ``all`` its splits."""

    store: Path
    split: str = "test"
    target: str = TARGET

    @property
    def task(self) -> str:
        """The benchmark's task, where none is named; InputError where there is none on the target."""
        # Here, for a machine that only trains has not all that the benchmark needs.
        from benchmarks.tasks import TASKS, task_of_target

        attrs = root_attrs(self.store)
        sealed_for = TASKS.get(attrs.get("task", ""))
        if sealed_for is not None and sealed_for.target == self.target:
            return sealed_for.name
        return task_of_target(self.target, self.split, observed="observed" in attrs).name

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits, in the order of a submission's halos."""
        if self.split != ALL:
            return (self.split,)
        return tuple(split for split in SPLITS if split_length(self.store, split))

    def __len__(self) -> int:
        return sum(split_length(self.store, split) for split in self.splits)

    def shards(self, views: Sequence[str]) -> Iterator[SplitArrays]:
        """The maps of some views, block by block."""
        for split in self.splits:
            yield from iter_shards(self.store, split, views)

    def check(self, transforms: Transforms) -> None:
        """InputError where there are no halos, a view is missing, or the grid is another than trained on."""
        if len(self) == 0:
            raise InputError(f"{self.store} has no halos in its split {self.split}")
        for split in self.splits if transforms.views else ():
            check_views(self.store, split, transforms.views, self.target)
        transforms.check_grid(self.store)


@command_line
def main(args: list[str]) -> None:
    """The command line."""
    parser = Parser(
        prog="python -m baselines.predict",
        description="Predict a split of a store, or a cluster on the sky from FITS images.",
    )
    parser.add_argument("run", help="a run's folder, a shipped model's name, or a Hub repository")
    parser.add_argument("--data", help="a store, or the name of a config")
    parser.add_argument(
        "--fits",
        action="append",
        help="VIEW=FILE[,exposure=FILE,background=FILE]: images of the sky, instead of --data",
    )
    parser.add_argument("--redshift", type=float, help="of the cluster in --fits")
    parser.add_argument("--centre", help="RA,DEC of its centre, in degrees")
    parser.add_argument("--r200c-arcmin", type=float, help="its R200c, in arcmin")
    parser.add_argument("--out", type=Path, required=True, help="the folder to write")
    parser.add_argument(
        "--split", default="test", choices=(*SPLITS, ALL), help="all: every halo of the store"
    )
    parser.add_name("the model's")
    parser.add_argument("--task", help="the benchmark's task (default: by what is predicted)")
    parser.add_argument("--symmetries", type=int, default=8, choices=(1, 8), help="symmetries averaged")
    parser.add_argument("--samples", type=int, help="posterior samples of each map, 2 to 64 (default: 16)")
    parser.add_argument("--seed", type=int, help="of the samples (default: 0)")
    parser.add_argument("--scaling", choices=SCALINGS, help="of redshift, instead of the model's")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    options = parser.parse_args(args)
    if options.quiet:
        set_quiet(True)
    device = str(find_machine(options.device).device)
    folder = find_model(options.run)
    config = read_model_config(folder)
    name = options.name or str(config.get("name", folder.name))
    samples = "posterior" in config
    if not samples and (options.samples is not None or options.seed is not None):
        raise InputError(
            f"--samples, --seed: {options.run} predicts one map; baselines.flow trains a model that samples"
        )
    seed = options.seed or 0
    if not 0 <= seed < 2**32:
        raise InputError(f"--seed is 0 to {2**32 - 1}, not {seed}")
    of_sky = [options.redshift, options.centre, options.r200c_arcmin]
    if options.data is not None and (options.fits or any(value is not None for value in of_sky)):
        raise InputError(
            "--fits, --redshift, --centre and --r200c-arcmin are of images of the sky; with --data a store "
            "says all of it"
        )
    least, most = SAMPLE_COUNT
    count = 16 if options.samples is None else options.samples
    if samples and not least <= count <= most:
        raise InputError(f"--samples is {least} to {most}, not {count}")
    model: MassModel | PosteriorModel
    if samples:
        # Here: a model of maps needs none of it.
        from baselines.posterior_model import load_posterior

        model = load_posterior(folder, device=device)
    else:
        model = from_pretrained(folder, device=device)
    if options.scaling:
        model.transforms = with_scaling(model.transforms, options.scaling)
    if options.fits:
        from baselines.fits import predict_fits

        predict_fits(
            model,
            config,
            options.fits,
            options.out,
            redshift=options.redshift,
            centre=options.centre,
            radius_arcmin=options.r200c_arcmin,
            name=name,
            symmetries=options.symmetries,
            drawing={"samples": count, "seed": seed} if samples else {},
        )
        print(options.out)
        return
    if options.data is None:
        raise InputError("give what to predict: --data STORE, or --fits VIEW=FILE")
    predicted = Predicted(find_store(options.data), options.split)
    units = {view: facts["units"] for view, facts in config["inputs"].items()}
    for split in predicted.splits:
        check_units(predicted.store, split, units)
    # Before the prediction, which may take hours.
    from benchmarks.submissions import KIND
    from benchmarks.tasks import find_task

    if options.task is not None:
        find_task(options.task)
    require_claimable(options.out, KIND)
    written = {
        "name": name,
        "task": options.task,
        "symmetries": options.symmetries,
        "trained_on": config.get("dataset"),
    }
    if isinstance(model, MassModel):
        predict_split(model, predicted, options.out, **written)
    else:
        predict_samples(model, predicted, options.out, samples=count, seed=seed, **written)
    if line := seen_line(config, predicted):
        print(line, file=sys.stderr)
    print(options.out)


def seen_line(config: Mapping[str, Any], predicted: Predicted) -> str:
    """A warning where regions that are predicted are among those of the model's training; else nothing.

    Regions of real simulations have the same number where they are of one ``simulation.universe``, or where
    recipes number unrelated ones alike; the public synthetic ones are the same clusters under any physics.
    """
    trained = set(config.get("regions", ()))
    if config.get("synthetic") != bool(root_attrs(predicted.store).get("synthetic")) or not trained:
        return ""
    halos = (read_split(predicted.store, split, []).halos for split in predicted.splits)
    here = {int(region) for each in halos for region in each.get("region", ())}
    seen = len(here & trained)
    if not seen:
        return ""
    return (
        f"warning: {seen} of the {len(here)} regions are among those that the model was trained on "
        f"({config['dataset']}): where they are of one simulation, its error is not that of new clusters"
    )


def predict_split(
    model: MassModel,
    predicted: Predicted,
    out: Path,
    *,
    name: str,
    task: str | None = None,
    symmetries: int = 8,
    bf16: bool = False,
    **extra: str | None,
) -> Path:
    """Write the submission of a model; one line on stderr says what of the input it was not trained for.

    Parameters
    ----------
    symmetries, bf16
        As `baselines.model.MassModel.predict`.
    extra
        Optional fields of the submission.

    Raises
    ------
    InputError
        Where the store lacks a view the model needs or its maps lie on another grid.
    """
    transforms = model.transforms
    predicted = replace(predicted, target=transforms.target_view)
    task = task or predicted.task
    predicted.check(transforms)
    outside: list[Mapping[str, float]] = []
    masses, sigmas = [], []
    bar = progress(total=len(predicted), desc="predicting", unit="halo")
    for arrays in predicted.shards(transforms.views):
        maps = np.stack([arrays.maps[view] for view in transforms.views], axis=2)
        cuts = range(BLOCK_HALOS, len(maps), BLOCK_HALOS)
        for block, redshift in zip(
            np.split(maps, cuts), np.split(arrays.halos["redshift"], cuts), strict=True
        ):
            here = np.repeat(redshift, maps.shape[1])
            outside += [
                transforms.outside(halo[None], z) for halo, z in zip(block, redshift[:, None], strict=True)
            ]
            mass, sigma = model.predict(
                block.reshape(-1, *maps.shape[2:]), here, symmetries=symmetries, bf16=bf16
            )
            shape = (*block.shape[:2], *mass.shape[1:])
            masses.append(mass.cpu().numpy().reshape(shape))
            if sigma is not None:
                sigmas.append(sigma.cpu().numpy().reshape(shape))
            bar.update(len(block))
    bar.close()
    if line := outside_line(transforms, predicted.store, outside):
        print(line, file=sys.stderr)
    return submit(
        out,
        predicted,
        task=task,
        name=name,
        track=transforms.views,
        maps=np.concatenate(masses),
        mass_sigma=np.concatenate(sigmas) if sigmas else None,
        parameters=count_parameters(model),
        **extra,
    )


def predict_samples(
    model: PosteriorModel,
    predicted: Predicted,
    out: Path,
    *,
    name: str,
    samples: int,
    seed: int = 0,
    task: str | None = None,
    symmetries: int = 8,
    **extra: str | None,
) -> Path:
    """Write the submission of a model of posterior samples; stderr says what it was not trained for.

    Parameters
    ----------
    samples
        Of each map, 2 to 64.
    seed
        Of the draws: those of a map hang on it and the map's place in the split alone.
    symmetries
        As `baselines.model.MassModel.predict`.
    extra
        Optional fields of the submission.

    Raises
    ------
    InputError
        Where the store lacks a view the model needs or its maps lie on another grid.
    """
    # Here, as where models are loaded.
    from baselines.posterior_model import draw_seeds

    transforms = model.transforms
    predicted.check(transforms)
    outside: list[Mapping[str, float]] = []

    def blocks() -> Iterator[np.ndarray]:
        done = 0
        with progress(total=len(predicted), desc="sampling", unit="halo") as bar:
            for arrays in predicted.shards(transforms.views):
                for halo, redshift in enumerate(arrays.halos["redshift"]):
                    maps = np.stack([arrays.maps[view][halo] for view in transforms.views], axis=1)
                    outside.append(transforms.outside(maps[None], np.array([redshift])))
                    seeds = draw_seeds(seed, done, len(maps))
                    drawn = model.sample(maps, float(redshift), seeds, samples=samples, symmetries=symmetries)
                    done += len(maps)
                    bar.update(1)
                    yield drawn.cpu().numpy()[None]

    folder = submit(
        out,
        predicted,
        task=task,
        name=name,
        track=transforms.views,
        mass_samples=blocks(),
        smoothed_fwhm=SCORE_FWHM,
        parameters=count_parameters(model),
        **extra,
    )
    if line := outside_line(transforms, predicted.store, outside):
        print(line, file=sys.stderr)
    return folder


def with_scaling(transforms: Transforms, scaling: str) -> Transforms:
    """Transforms of another scaling, which a model knows nothing of that saw redshift 0 alone."""
    if transforms.training.redshift != (0.0, 0.0):
        raise InputError(
            f"--scaling {scaling}: the model was trained at redshifts above 0, with {transforms.scaling}"
        )
    return replace(transforms, scaling=scaling)


def outside_line(transforms: Transforms, store: Path, halos: Sequence[Mapping[str, float]]) -> str:
    """What of a store's maps a model was not trained on, in one line; empty where nothing is.

    Parameters
    ----------
    halos
        `Transforms.outside` of each halo.
    """
    trained, grid = transforms.training, MapGrid.from_attrs(root_attrs(store), store)
    shares = {name: float(np.mean([halo[name] for halo in halos])) for name in halos[0]}
    parts = []
    if shares.pop("redshift") > 0:
        low, high = trained.redshift
        parts.append("redshifts beyond " + (f"{low:g}" if low == high else f"{low:g} to {high:g}"))
    for name, text in (("half_depth", "depth"), ("smoothing_fwhm", "smoothing")):
        here, there = getattr(grid, name), getattr(trained, name)
        if here != there:
            parts.append(f"a {text} of {here:g} R200c, trained on {there:g}")
    parts += [
        fainter_or_brighter(name, f"{100 * share:.0f} %")
        for name, share in shares.items()
        if share > SAID_FROM
    ]
    return f"outside the training range: {'; '.join(parts)}" if parts else ""


def submit(out: Path, predicted: Predicted, *, task: str | None = None, **fields: Any) -> Path:
    """Write a baseline's submission."""
    # Here, for a machine that only trains has no pydantic.
    from benchmarks.submissions import write_submission

    return write_submission(
        out,
        authors=AUTHORS,
        task=task or predicted.task,
        kind="baseline",
        rows=(predicted.store, predicted.split),
        overwrite=True,
        **fields,
    )


if __name__ == "__main__":
    main()
