"""Figures of the synthetic simulation: clusters beside each other, and the calibrated relations."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.display import COLOUR_MAPS, DECADES
from three_hundred_maps.plot import new_figure
from three_hundred_maps.simulation.synthetic.calibration import F_GAS, F_STAR, LOG_M500
from three_hundred_maps.simulation.synthetic.setup import Flavour, H
from three_hundred_maps.simulation.synthetic.universe import draw_halos
from tools.realism.survey import MEASURED, open_region
from tools.realism.texture import map_radius, store_maps

GALLERY_SEED, GALLERY_CLUSTERS, COLUMNS = 55001, 16, 8
_GROUPS = (13.5, 13.9)
"""log10 M200c (Msun/h) of the groups shown."""
_GAP = 4
_BESIDE = 3
"""Halos of each store in `draw_beside`."""


def tile(image: NDArray[np.float32], colours: str, floor_percentile: float) -> NDArray[np.float64]:
    """(y, x, 3) colours of a map's logarithm between a low percentile of what is positive and its maximum."""
    from matplotlib import colormaps

    positive = image[image > 0]
    if not positive.size:
        return np.zeros((*image.shape, 3))
    low = float(np.percentile(positive, floor_percentile))
    scaled = np.log10(np.maximum(image, low) / low) / max(np.log10(float(positive.max()) / low), 1e-6)
    return np.asarray(colormaps[colours](np.clip(scaled, 0.0, 1.0)))[::-1, :, :3]


def _pictures(flavour: Flavour, region: int) -> list[tuple[bool, float, list[NDArray[np.float64]]]]:
    """Whether a cluster is its region's centre, its M200c (Msun) and its tiles, for those in the gallery."""
    from three_hundred_maps.mapping.halo_grid import HaloGrid, cutout_radius
    from three_hundred_maps.mapping.lines_of_sight import lines_of_sight
    from three_hundred_maps.mapping.render import render
    from three_hundred_maps.mapping.views import get_view

    vectors, ups = lines_of_sight(29)
    views = [get_view(name) for name in COLOUR_MAPS]
    found = []
    with tempfile.TemporaryDirectory() as scratch:
        opened = open_region(Path(scratch), GALLERY_SEED, region, flavour)
        halos = opened.halos
        masses = draw_halos(GALLERY_SEED, region).M200c_msun
        low, high = (10.0**edge / H for edge in _GROUPS)
        for i in range(len(masses)):
            if i and not low <= masses[i] < high:
                continue
            frame = HaloGrid(halos.R200c_kpc[i])
            cutout = opened.region.cutout(halos.centre_kpc[i], cutout_radius(frame))
            maps = render(cutout, views, frame, vectors[:1], ups[:1])
            tiles = [
                tile(maps[name][0][0], colours, 30.0 if name == "star" else 3.0)
                for name, colours in COLOUR_MAPS.items()
            ]
            found.append((i == 0, float(masses[i]), tiles))
    return found


def draw_gallery(flavour: Flavour, path: Path) -> None:
    """The central clusters of sixteen regions, then eight groups beside such clusters, four views each."""
    from matplotlib.image import imsave

    found: list[tuple[bool, float, list[NDArray[np.float64]]]] = []
    region = 0
    while region < GALLERY_CLUSTERS or sum(not central for central, _, _ in found) < COLUMNS:
        region += 1
        found += [item for item in _pictures(flavour, region) if region <= GALLERY_CLUSTERS or not item[0]]
    # By the mass in the plan, which is one for both flavours: the same cluster stands in the same place.
    centrals = sorted((item for item in found if item[0]), key=lambda item: -item[1])
    groups = sorted([item for item in found if not item[0]][:COLUMNS], key=lambda item: -item[1])
    size = centrals[0][2][0].shape[0] + _GAP
    blocks = GALLERY_CLUSTERS // COLUMNS + 1
    mosaic = np.ones((blocks * (len(COLOUR_MAPS) * size + 2 * _GAP), COLUMNS * size - _GAP, 3))
    for k, (_, _, tiles) in enumerate(centrals + groups):
        block, column = divmod(k, COLUMNS)
        for j, picture in enumerate(tiles):
            y = (block * len(COLOUR_MAPS) + j) * size + block * 2 * _GAP
            mosaic[y : y + size - _GAP, column * size : column * size + size - _GAP] = picture
    imsave(path, np.repeat(np.repeat(mosaic, 2, axis=0), 2, axis=1), metadata={"Software": "matplotlib"})


def draw_beside(synthetic: Path, real: Path, path: Path, low_msun: float, high_msun: float) -> None:
    """Maps of a synthetic store and of a real one on one scale of colours a view, three halos each.

    Each map is taken over its mean inside R200c, so that mass and redshift leave the colours alone; the halos
    are the most massive of the range, the line of sight is the first.

    Raises
    ------
    InputError
        As `texture.store_maps` does.
    """
    from matplotlib import colormaps
    from matplotlib.image import imsave

    columns = []
    for store in (synthetic, real):
        halos = sorted(store_maps(store, low_msun, high_msun), key=lambda item: -item[0])
        columns.append([maps for _, maps in halos[:_BESIDE]])
    rows = []
    for view, colours in COLOUR_MAPS.items():
        sides = []
        for side in columns:
            tiles = [_over_mean(maps[view][0]) for maps in side]
            sides.append(
                np.concatenate([np.pad(t, _GAP // 2, constant_values=np.nan) for t in tiles], axis=1)
            )
        row = np.concatenate([sides[0], np.full((len(sides[0]), 4 * _GAP), np.nan), sides[1]], axis=1)
        top = float(np.nanpercentile(row, 99.9))
        scaled = np.clip(np.log10(np.maximum(row, 1e-30) / top) / DECADES[view] + 1.0, 0.0, 1.0)
        picture = np.asarray(colormaps[colours](np.nan_to_num(scaled)))[::-1, :, :3]
        picture[np.isnan(row)[::-1]] = 1.0
        rows.append(picture)
    mosaic = np.concatenate(rows)
    imsave(path, np.repeat(np.repeat(mosaic, 2, axis=0), 2, axis=1), metadata={"Software": "matplotlib"})


def _over_mean(image: NDArray[np.float64]) -> NDArray[np.float64]:
    inside = map_radius(image.shape[0]) < 1.0
    return image / image[inside].mean()


def draw_relations(tables: dict[Flavour, NDArray[np.float64]], path: Path) -> None:
    """f_gas, f_star, Y and L against M500c, with the published medians."""
    figure, axes = new_figure(2, 2, (9.0, 7.0))
    shades = {"gadgetx": "tab:blue", "gizmo": "tab:orange"}
    panels = (
        ("f_gas", "f_gas inside R500c", F_GAS, False),
        ("f_star", "f_star inside R500c", F_STAR, False),
        ("Y_mpc2", "Y500 (Mpc$^2$)", None, True),
        ("L_erg_s", "bolometric L (erg/s)", None, True),
    )
    for axis, (name, label, targets, logarithmic) in zip(axes.flat, panels, strict=True):
        for flavour, table in tables.items():
            x = np.log10(table[:, MEASURED.index("M500c")])
            y = table[:, MEASURED.index(name)]
            axis.plot(x, y, ".", ms=2.5, alpha=0.5, color=shades[flavour], label=flavour)
            if targets is not None:
                axis.plot(LOG_M500, targets[flavour], "-", lw=1.5, color=shades[flavour])
        axis.set_xlim(13.1, 15.3)
        axis.set_xticks([13.5, 14.0, 14.5, 15.0])
        if logarithmic:
            axis.set_yscale("log")
        else:
            axis.set_ylim(bottom=0.0)
        axis.set_xlabel("log10 M500c (Msun)")
        axis.set_ylabel(label)
    axes[0, 0].legend(title="points: halos; lines: published medians", fontsize=8, title_fontsize=8)
    figure.savefig(path, dpi=90, metadata={"Software": None})
