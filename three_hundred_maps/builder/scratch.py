"""Synthetic snapshots while they are needed: made once, shared by the workers, then deleted."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from three_hundred_maps.builder.recipe import Recipe, SimulationRecipe
from three_hundred_maps.builder.selection import Place
from three_hundred_maps.errors import InputError
from three_hundred_maps.io import naming
from three_hundred_maps.store.lock import hold


def member_folder(scratch: Path, recipe: Recipe, member: int) -> Path:
    """Where the files of one of the recipe's simulations lie: of several, each in its own folder."""
    return scratch / str(recipe.simulation.sources[member]["id"]) if recipe.simulation.sources else scratch


def region_folder(scratch: Path, place: Place) -> Path:
    """Where the files of a region's snapshot lie."""
    return scratch / f"region-{place[0]:05d}-{place[1]:03d}"


def synthetic_files(simulation: SimulationRecipe, place: Place, scratch: Path) -> tuple[Path, Path]:
    """The snapshot and the catalogue of a synthetic region, simulated where they are not there yet.

    Two workers that want one region: the second waits for the first.
    """
    region, number = place
    folder = region_folder(scratch, place)
    names = folder / "files.txt"
    scratch.mkdir(parents=True, exist_ok=True)
    with hold(folder.with_name(f"{folder.name}.lock")):
        if not names.exists():
            from three_hundred_maps.simulation.synthetic.region import simulate_region

            making = folder.with_name(f"{folder.name}.{os.getpid()}.partial")
            shutil.rmtree(making, ignore_errors=True)
            shutil.rmtree(folder, ignore_errors=True)
            making.mkdir()
            with naming(making):
                made = simulate_region(
                    making,
                    seed=simulation.seed,
                    region=region,
                    flavour=simulation.flavour,
                    resolution=simulation.resolution,
                    redshift=simulation.epochs()[number],
                )
            relative = [made.snapshot.relative_to(making), made.catalogue.relative_to(making)]
            (making / "files.txt").write_text("\n".join(map(str, relative)), encoding="utf-8")
            os.replace(making, folder)
    snapshot, catalogue = names.read_text(encoding="utf-8").split("\n")
    return folder / snapshot, folder / catalogue


class Scratch:
    """Deletes each region's files when no shard needs them any more.

    Parameters
    ----------
    folder
        The scratch folder.
    needs
        For every shard still to be done, the snapshots it reads.
    keep
        Delete nothing.
    """

    def __init__(self, folder: Path, needs: Iterable[Iterable[Place]], *, keep: bool) -> None:
        self.folder, self.keep = folder, keep
        self._left = Counter(place for places in needs for place in set(places))

    def done(self, places: Iterable[Place]) -> None:
        """One shard that read ``places`` is done."""
        for place in set(places):
            self._left[place] -= 1
            if self._left[place] == 0 and not self.keep:
                shutil.rmtree(region_folder(self.folder, place), ignore_errors=True)

    def close(self) -> None:
        """Remove what is left of the scratch folder."""
        if not self.keep:
            shutil.rmtree(self.folder, ignore_errors=True)


def kept_folder(store: Path) -> Path:
    """Where snapshots go that are to be kept: beside the store."""
    folder = store.with_name(f"{store.name}-snapshots")
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; with keep_snapshots it is the folder of the snapshots")
    return folder
