"""What the manifest of an export says of one config: all that the card and the loaders need to know of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from three_hundred_maps.hub.rows import ROW_FORMAT
from three_hundred_maps.hub.sources import StoreSource
from three_hundred_maps.io import sha256_file
from three_hundred_maps.store.arrays import open_group
from three_hundred_maps.store.manifest import read_manifest
from three_hundred_maps.store.notes import by_kind
from three_hundred_maps.store.schema import ROOT_ATTRS
from three_hundred_maps.store.statistics import ViewStatistics, read_statistics

ATTRIBUTES = tuple(name for name in ROOT_ATTRS if name not in ("schema_version", "name"))
FRAME = ("width_R200c", "half_depth_R200c", "smoothing_fwhm_R200c")
QUANTILES = (0.01, 0.5, 0.99)
RANGED = ("redshift", "M200c", "R200c", "c200c", "f_gas_500", "f_star_500")


def describe_store(source: StoreSource) -> dict[str, Any]:
    """All of a config's record but its files."""
    root: Any = open_group(source.path)
    attrs = dict(root.attrs)
    manifest = read_manifest(source.path)
    excluded, planned = manifest["refused"], manifest["halos_planned"]
    statistics = read_statistics(source.path)
    train = root["train"]
    instruments = attrs.get("view_attrs") or {}
    return {
        "config": source.name,
        "digest": source.digest,
        "row_format": ROW_FORMAT,
        **{name: attrs.get(name) for name in ATTRIBUTES},
        **{name: attrs.get(name) for name in FRAME},
        "views": list(source.views),
        "view_info": {
            view: {
                "units": train[view].attrs["units"],
                "long_name": train[view].attrs["long_name"],
                **view_statistics(statistics[view]),
                **({"instrument": instruments[view]} if instruments.get(view) else {}),
            }
            for view in source.views
        },
        "map_mass_over_M200c": mass_in_maps(train),
        "pixels": list(source.pixels),
        "lines_of_sight": int(train["los_vector"].shape[0]),
        "excluded": len(excluded),
        **({"exclusions": by_kind([item["reason"] for item in excluded])} if excluded else {}),
        "warnings": list(attrs.get("warnings") or ()),
        **{name: attrs[name] for name in ("observed", "corrections") if attrs.get(name)},
        "splits": {
            split: describe_split(root[split], n, planned[split], source.rows[split])
            for split, n in source.halos.items()
        },
    }


def describe_split(values: Any, halos: int, planned: int, rows: int) -> dict[str, Any]:
    """Numbers of a split, and the range of what its halos are like, from its columns."""
    return {
        "halos": halos,
        "halos_planned": planned,
        "regions": len(np.unique(np.asarray(values["region"]))),
        "rows": rows,
        "ranges": {name: value_range(np.asarray(values[name])) for name in RANGED},
        "parquet": [],
        "halos_file": None,
    }


def mass_in_maps(group: Any) -> float | None:
    """Median over halos and lines of sight of the mass in a whole map over M200c; None without such maps."""
    if "total_mass" not in group or not group["M200c"].shape[0]:
        return None
    ratio = np.asarray(group["total_mass"][...]) / np.asarray(group["M200c"][...])[:, None]
    return round(float(np.nanmedian(ratio)), 4)


def value_range(values: np.ndarray) -> list[float] | None:
    """[least, median, greatest] of the known values; None where none is known."""
    known = values[np.isfinite(values)]
    if not len(known):
        return None
    return [float(known.min()), float(np.median(known)), float(known.max())]


def view_statistics(statistics: ViewStatistics) -> dict[str, Any]:
    """Quantiles of log10 over train and the share of pixels that are 0; None where train is empty."""
    count = statistics.count
    quantiles = [statistics.quantile(q) for q in QUANTILES]
    return {
        "log10_quantiles": [round(q, 4) if np.isfinite(q) else None for q in quantiles],
        "zero_fraction": statistics.zeros / count if count else None,
        "maximum": statistics.maximum if np.isfinite(statistics.maximum) else None,
    }


def add_file(files: dict[str, Any], root: Path, path: Path, sha256: str | None = None) -> str:
    """Enter a file into the lines of a manifest; its name there."""
    key = path.relative_to(root).as_posix()
    files[key] = {"bytes": path.stat().st_size, "sha256": sha256 or sha256_file(path)}
    return key
