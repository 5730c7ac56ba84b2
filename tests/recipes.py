"""Recipes for the builder's tests, written as YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

SMALL_MAPS = {"pixels": 16, "lines_of_sight": 2}


def write_recipe(folder: Path, name: str = "recipe", **content: Any) -> Path:
    """A recipe as ``NAME.yaml``."""
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump({"name": name, **content}), encoding="utf-8")
    return path


def of_files(snapshot: str | Path, catalogue: str | Path) -> dict[str, Any]:
    """The section ``simulation`` of a box with its AHF catalogue, each halo of which is a region."""
    table = {"kind": "ahf", "path": str(catalogue)}
    return {"kind": "gadget", "snapshot": str(snapshot), "catalogue": table, "region_by": "halo"}


def write_box(folder: Path, real: Path, name: str, changes: dict[str, Any], **content: Any) -> Path:
    """A recipe on the real box, with changes section by section."""
    box = real / "gadget4_lcdm_gas"
    content["simulation"] = of_files(box / "snapshot_003.hdf5", box / "lcdm_gas_z0.z0.000.AHF_halos")
    for section, values in changes.items():
        content[section] = {**content.get(section, {}), **values} if isinstance(values, dict) else values
    return write_recipe(folder, name, **content)
