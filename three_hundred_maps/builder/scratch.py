"""Synthetic snapshots while they are needed: made once, shared by the workers, then deleted."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from three_hundred_maps.builder.recipe import SimulationRecipe
from three_hundred_maps.errors import InputError
from three_hundred_maps.store.lock import hold


@dataclass(frozen=True)
class ScratchFiles:
    """The snapshot and the catalogue of one synthetic region."""

    snapshot: Path
    catalogue: Path


def region_folder(scratch: Path, region: int) -> Path:
    """Where a region's files lie."""
    return scratch / f"region-{region:05d}"


def synthetic_files(simulation: SimulationRecipe, region: int, scratch: Path) -> ScratchFiles:
    """The files of a synthetic region, simulated where they are not there yet.

    Two workers that want one region: the second waits for the first.
    """
    folder = region_folder(scratch, region)
    names = folder / "files.txt"
    scratch.mkdir(parents=True, exist_ok=True)
    with hold(scratch / f"region-{region:05d}.lock"):
        if not names.exists():
            from three_hundred_maps.simulation.synthetic import simulate_region

            making = folder.with_name(f"{folder.name}.{os.getpid()}.partial")
            shutil.rmtree(making, ignore_errors=True)
            shutil.rmtree(folder, ignore_errors=True)
            making.mkdir()
            try:
                made = simulate_region(
                    making,
                    seed=simulation.seed,
                    region=region,
                    flavour=simulation.flavour,
                    resolution=simulation.resolution,
                )
            except OSError as error:
                # A full disk is reported by a write that does not know its file's name.
                raise OSError(error.errno, error.strerror, error.filename or str(making)) from error
            relative = [made.snapshot.relative_to(making), made.catalogue.relative_to(making)]
            (making / "files.txt").write_text("\n".join(map(str, relative)), encoding="utf-8")
            os.replace(making, folder)
    snapshot, catalogue = names.read_text(encoding="utf-8").split("\n")
    return ScratchFiles(folder / snapshot, folder / catalogue)


class Scratch:
    """Deletes each region's files when no shard needs them any more.

    Parameters
    ----------
    folder
        The scratch folder.
    needs
        For every shard still to be done, the sources it reads.
    keep
        Delete nothing.
    """

    def __init__(self, folder: Path, needs: Iterable[Iterable[int]], *, keep: bool) -> None:
        self.folder, self.keep = folder, keep
        self._left: dict[int, int] = {}
        for sources in needs:
            for source in set(sources):
                self._left[source] = self._left.get(source, 0) + 1
        if not keep and folder.exists():
            self._remove_stale()

    def _remove_stale(self) -> None:
        for entry in self.folder.iterdir():
            number = entry.name.removeprefix("region-")
            if entry.is_dir() and not (number.isdigit() and int(number) in self._left):
                shutil.rmtree(entry, ignore_errors=True)

    def done(self, sources: Iterable[int]) -> None:
        """One shard that read ``sources`` is done."""
        for source in set(sources):
            self._left[source] -= 1
            if self._left[source] == 0 and not self.keep:
                shutil.rmtree(region_folder(self.folder, source), ignore_errors=True)

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
