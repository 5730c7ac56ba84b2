"""``python tools/oldest.py``: constraints that hold the lower bounds of pyproject.toml, for a test of them.

Only of the packages whose interfaces move most; the others are those of constraints.txt where these allow it.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HELD = ("numpy", "zarr", "xarray", "datasets", "torch", "torchvision")


def constraints(declared: Iterable[str]) -> list[str]:
    """``name==lower bound`` of the packages of `HELD`, from requirements as pyproject.toml lists them."""
    found = (re.fullmatch(r"([\w-]+)>=([\d.]+)", one) for one in declared)
    bounds = {match[1]: match[2] for match in found if match}
    return [f"{name}=={bounds[name]}" for name in HELD]


if __name__ == "__main__":
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    print("\n".join(constraints([*project["dependencies"], *(one for listed in extras for one in listed)])))
