"""Small finished stores of analytic clusters, written by the real writer."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.errors import InputError
from three_hundred_maps.geometry import MapGrid
from three_hundred_maps.io import sha256_bytes
from three_hundred_maps.simulation.tables import take
from three_hundred_maps.store import schema
from three_hundred_maps.store.finishing import finalise
from three_hundred_maps.store.layout import Layout
from three_hundred_maps.store.writer import create_store, write_shard
from three_hundred_maps.testing.blobs import BlobCluster

Arrays = Mapping[str, NDArray[Any]]

VIEW_TEXTS = {
    "sz": ("1", "Compton y of the thermal SZ effect"),
    "xray": ("1e44 erg s-1 kpc-2", "bolometric X-ray surface brightness, rest frame, over 4 pi"),
    "star": ("Msun kpc-2", "stellar surface density"),
    "mass": ("Msun kpc-2", "total surface density"),
    "gas": ("Msun kpc-2", "gas surface density"),
    "dark_matter": ("Msun kpc-2", "dark matter surface density"),
}


def tiny_attrs(name: str = "tiny", **more: Any) -> dict[str, Any]:
    """Root attributes of a store made for a test."""
    return {
        "name": name,
        "description": "Clusters of analytic blobs, for tests",
        "synthetic": True,
        "recipe": f"name: {name}\n",
        "recipe_sha256": sha256_bytes(f"name: {name}\n".encode()),
        "package_version": "0",
        "license": "CC0-1.0",
        "attribution": "made for a test",
        "citation": "",
        "simulation": {"code": "blobs", "redshift": 0.0},
        **more,
    }


def tiny_store(
    path: str | Path,
    *,
    halos: tuple[int, int, int] = (12, 4, 4),
    n_los: int = 3,
    pixels: int = 80,
    width: float = 2.0,
    views: Sequence[str] = ("sz", "xray", "star", "mass"),
    seed: int = 0,
    halos_per_region: int = 1,
    first_region: int = 1,
    shard_halos: int = 8,
    name: str = "tiny",
    half: bool = True,
    **attrs: Any,
) -> Path:
    """Write a finished store of analytic clusters through the real writer.

    Every cluster is a triaxial body of Plummer spheres with subhaloes, seen along the same lines of
    sight; gas is smoother than mass, X-rays go as the gas squared, stars sit in the peaks. The views
    thus inform on mass, with scatter of their own.

    Parameters
    ----------
    path
        A new folder.
    halos
        Numbers of halos in train, validation and test.
    n_los, pixels, width
        Lines of sight, pixels a side, and the maps' width in R200c.
    views
        Any of sz, xray, star, mass, gas, dark_matter.
    seed
        Of everything.
    halos_per_region, first_region
        Regions are numbered from ``first_region`` and never shared by two splits.
    shard_halos, name
        Of the store.
    half
        Whether the test split carries the half-sample's maps.
    attrs
        More root attributes.

    Returns
    -------
    The store's path.
    """
    unknown = [view for view in views if view not in VIEW_TEXTS]
    if unknown:
        raise InputError(f"tiny_store knows {', '.join(VIEW_TEXTS)}, not {', '.join(unknown)}")
    splits = dict(zip(schema.SPLITS, halos, strict=True))
    vectors, ups = tiny_lines_of_sight(n_los)
    layout = Layout(
        maps=tuple(schema.map_variable(view, *VIEW_TEXTS[view]) for view in views),
        splits=splits,
        vectors=vectors,
        ups=ups,
        grid=MapGrid(pixels, width),
        shard_halos=shard_halos,
        attrs=tiny_attrs(name, **attrs),
        half=half,
    )
    region = first_region

    def content(split: str) -> tuple[Arrays, Arrays]:
        nonlocal region
        keys = [(region + row // halos_per_region, row % halos_per_region) for row in range(splits[split])]
        region = keys[-1][0] + 1
        clusters = [BlobCluster.draw(seed, *key) for key in keys]
        drawn = [cluster.maps(vectors, ups, pixels, width) for cluster in clusters]
        maps = {v.name: np.stack([d[v.name] for d in drawn]) for v in layout.map_variables(split)}
        return maps, {
            name: variable.column([getattr(cluster, name) for cluster in clusters])
            for name, variable in schema.HALO_VARIABLES.items()
        }

    return write_store(Path(path), layout, content)


def write_store(out: Path, layout: Layout, content: Callable[[str], tuple[Arrays, Arrays]]) -> Path:
    """A finished store; ``content`` gives a split's maps and halo values, totals follow from the maps."""
    create_store(out, layout)
    for split in (split for split in layout.splits if layout.shards(split)):
        maps, halos = content(split)
        area = (layout.grid.pixel * halos["R200c"]) ** 2
        totals = {
            view: maps[view].sum(axis=(2, 3), dtype=np.float64) * area[:, None] for view in layout.views
        }
        for shard in range(layout.shards(split)):
            rows = slice(shard * layout.shard_halos, (shard + 1) * layout.shard_halos)
            write_shard(out, split, shard, *take((maps, totals, halos), rows), layout=layout)
    finalise(out)
    return out


def tiny_lines_of_sight(n: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """``n`` unit vectors spread over the half sphere, and unit vectors at right angles to them."""
    step = np.arange(n) + 0.5
    z = 1.0 - step / n
    phi = step * math.pi * (3.0 - math.sqrt(5.0))
    rho = np.sqrt(1.0 - z**2)
    vectors = np.stack([rho * np.cos(phi), rho * np.sin(phi), z], axis=1)
    helper = np.where(np.abs(vectors[:, 2:]) < 0.9, [[0.0, 0.0, 1.0]], [[1.0, 0.0, 0.0]])
    ups = helper - (helper * vectors).sum(axis=1, keepdims=True) * vectors
    return vectors, ups / np.linalg.norm(ups, axis=1, keepdims=True)
