"""Many regions into one folder: resumable, over processes, never over somebody else's files."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from three_hundred_maps.errors import InputError
from three_hundred_maps.io import claim_folder, spawn_pool
from three_hundred_maps.simulation.synthetic.region import (
    RegionFiles,
    check_format,
    region_files,
    simulate_region,
)
from three_hundred_maps.simulation.synthetic.setup import (
    GENERATOR_VERSION,
    Epoch,
    Flavour,
    check_flavour,
    check_redshift,
    check_resolution,
    check_seed,
)

MARK = "simulation.json"
"""What a folder holds: written first, so that a stopped run can be taken up and nothing else is touched."""


def simulate_regions(
    out: str | Path,
    regions: int,
    *,
    seed: int = 300,
    flavour: Flavour = "gadgetx",
    format: str | None = None,
    resolution: str = "light",
    redshift: float = 0.0,
    workers: int = 1,
    progress: Callable[[int], object] = lambda number: None,
) -> list[RegionFiles]:
    """Simulate regions 1 to ``regions`` into ``out``; those that are there already are kept.

    Parameters
    ----------
    out
        A new or empty folder, or one that an earlier call with the same settings began.
    regions
        How many, from 1 on.
    seed, flavour, format, resolution, redshift
        See `simulate_region`.
    workers
        Processes.
    progress
        Called with 1 for every region that is ready.

    Returns
    -------
    list of RegionFiles
        One a region.

    Raises
    ------
    InputError
        For no regions, a seed below 0 or above 2^64 - 1, an unknown flavour, resolution or format, a
        redshift outside 0 to 1, fewer than one worker, or a folder that holds other data.
    """
    if isinstance(regions, bool) or regions < 1:
        raise InputError(f"regions: {regions} asked for; ask for 1 or more")
    if workers < 1:
        raise InputError(f"workers: {workers} asked for; ask for 1 or more")
    check_seed(seed, 1)
    if seed >= 2**64:
        raise InputError(f"seed: {seed} does not fit into a snapshot's header; give one below 2^64")
    check_flavour(flavour)
    check_resolution(resolution)
    check_redshift(redshift)
    out, epoch, chosen = Path(out), Epoch(redshift), check_format(format, flavour)
    settings = {
        "seed": seed,
        "flavour": flavour,
        "resolution": resolution,
        "redshift": redshift,
        "format": chosen,
    }
    claim_folder(out, MARK, {"synthetic": True, "version": GENERATOR_VERSION, **settings})
    files = [region_files(out, region, flavour, chosen, epoch) for region in range(1, regions + 1)]
    jobs = []
    for region, item in enumerate(files, 1):
        # The catalogue is written last: where it is, the region is whole.
        if item.catalogue.exists() and item.snapshot.exists():
            progress(1)
        else:
            jobs.append({"out": out, "region": region, **settings})
    with spawn_pool(min(workers, len(jobs))) if workers > 1 and len(jobs) > 1 else nullcontext() as pool:
        for _ in map(_simulate, jobs) if pool is None else pool.map(_simulate, jobs):
            progress(1)
    return files


def _simulate(job: dict[str, Any]) -> None:
    simulate_region(**job)
