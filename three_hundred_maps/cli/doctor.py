"""``three-hundred-maps doctor``: what is installed, what is missing and how to get it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import sys
from pathlib import Path

from three_hundred_maps.cli.build import cores

EXTRAS = {
    "": ("numpy", "xarray", "zarr", "datasets", "huggingface_hub", "tqdm", "typer", "pydantic", "pyyaml"),
    "build": ("numba", "scipy", "h5py", "colossus", "matplotlib"),
    "baselines": ("torch", "timm", "torchvision", "safetensors"),
    "benchmarks": ("jinja2",),
    "cluster": ("dask", "distributed", "dask-jobqueue"),
}


def doctor() -> None:
    """Show versions, GPU, cache, disk; and what is missing."""
    from three_hundred_maps._version import __version__

    print(f"three_hundred_maps {__version__}, Python {sys.version.split()[0]}, {cores()} cores")
    missing: list[str] = []
    for extra, packages in EXTRAS.items():
        found = [
            f"{package} {version or 'MISSING'}" for package in packages for version in [_version(package)]
        ]
        print(f"{extra or 'base':<11}{', '.join(found)}")
        missing += [extra for package in packages if _version(package) is None]
    print(f"GPU        {_gpu()}")
    home = _home()
    print(f"cache      {home} ({_state(home)})")
    print(f"disk       {_free(home)} free there, {_free(Path.cwd())} here")
    repository = os.environ.get("THREE_HUNDRED_MAPS_REPO")
    print(
        f"Hub        {repository or 'no repository set (THREE_HUNDRED_MAPS_REPO): data sets are built here'}"
    )
    for extra in dict.fromkeys(missing):
        wanted = f"three_hundred_maps[{extra}]" if extra else "three_hundred_maps"
        print(f"to get what is missing: pip install '{wanted}'")


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _gpu() -> str:
    if importlib.util.find_spec("torch") is None:
        return "unknown: torch is not installed"
    import torch

    if not torch.cuda.is_available():
        return "none that torch can use; training runs on the CPU"
    return f"{torch.cuda.get_device_name(0)}, CUDA {torch.version.cuda}"


def _home() -> Path:
    from three_hundred_maps.io import cache_home

    return cache_home()


def _state(folder: Path) -> str:
    return "there" if folder.is_dir() else "made at the first load"


def _free(folder: Path) -> str:
    while not folder.exists():
        folder = folder.parent
    return f"{shutil.disk_usage(folder).free / 1e9:.0f} GB"
