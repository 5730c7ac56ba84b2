"""Draw docs/orientation.svg: where +x, +y and the observer are. Run ``python docs/figures/orientation.py``.

Left, particles in the shape of an F in the simulation's box; right, the map that `render` makes of them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.geometry import MapGrid
from three_hundred_maps.mapping import HaloGrid, get_view, lines_of_sight, render
from three_hundred_maps.simulation.cosmology import Cosmology
from three_hundred_maps.simulation.particles import SPECIES, Cutout, Particles

TARGET = Path(__file__).resolve().parent.parent / "orientation.svg"
SIGHT = (0.8, 0.55, 0.45)
PIXELS = 24
SHADES = ("#ffffff", "#c9d6e8", "#8fa9cf", "#4c6fa8", "#1f3f74")

_F = (((-0.35, -0.6), (-0.35, 0.6)), ((-0.35, 0.6), (0.45, 0.6)), ((-0.35, 0.05), (0.25, 0.05)))
"""Strokes of the letter, in R200c right of and above the centre."""


def letter(right: NDArray[np.float64], up: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points along the strokes, in the plane of ``right`` and ``up``."""
    t = np.linspace(0.0, 1.0, 60)[:, None]
    strokes = [np.array(a) * (1 - t) + np.array(b) * t for a, b in _F]
    flat = np.concatenate(strokes)
    return flat[:, :1] * right + flat[:, 1:] * up


def seen_from_afar(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """The drawing's own view of the box, z up: pixels of the drawing."""
    camera = np.array([0.9, -0.1, 0.5])
    camera /= np.linalg.norm(camera)
    side = np.cross([0.0, 0.0, 1.0], camera)
    side /= np.linalg.norm(side)
    above = np.cross(camera, side)
    return np.stack([165 + 84 * points @ side, 190 - 84 * points @ above], axis=-1)


def arrow(start: NDArray[np.float64], end: NDArray[np.float64], label: str, colour: str) -> str:
    (x1, y1), (x2, y2) = seen_from_afar(np.stack([start, end]))
    tx, ty = seen_from_afar(start + 1.1 * (end - start))
    return (
        f'<line x1="{x1:.0f}" y1="{y1:.0f}" x2="{x2:.0f}" y2="{y2:.0f}" stroke="{colour}" stroke-width="2" '
        f'marker-end="url(#tip)"/><text x="{tx:.0f}" y="{ty:.0f}" fill="{colour}">{label}</text>'
    )


def draw() -> str:
    """The picture as SVG."""
    vectors, ups = lines_of_sight([SIGHT])
    n, u = vectors[0], ups[0]
    right = np.cross(u, n)
    points = letter(right, u)
    empty = {name: Particles.empty() for name in SPECIES}
    count = len(points)
    dark = Particles(
        (1000.0 * points).astype(np.float32), np.ones(count, np.float32), np.arange(count, dtype=np.int64)
    )
    cutout = Cutout({**empty, "dark_matter": dark}, 1e5, 0.0, Cosmology(0.68, 0.31, 0.69))
    frame = HaloGrid(1000.0, MapGrid(PIXELS, smoothing_fwhm=0.1))
    image = render(cutout, [get_view("dark_matter")], frame, vectors, ups)["dark_matter"][0][0]
    level = np.minimum((len(SHADES) * image / image.max()).astype(int), len(SHADES) - 1)

    zero = np.zeros(3)
    corners = np.array([[x, y, z] for x in (-1.2, 1.2) for y in (-1.2, 1.2) for z in (-1.2, 1.2)])
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" width="660" height="360" viewBox="0 0 660 360" '
        'font-family="sans-serif" font-size="14">',
        '<defs><marker id="tip" markerWidth="8" markerHeight="8" refX="6" refY="3" orient="auto">'
        '<path d="M0,0 L7,3 L0,6 z" fill="context-stroke"/></marker></defs>',
        '<rect width="660" height="360" fill="white"/>',
    ]
    for i in range(8):
        for j in range(i + 1, 8):
            if np.count_nonzero(corners[i] != corners[j]) == 1:
                (x1, y1), (x2, y2) = seen_from_afar(corners[[i, j]])
                parts.append(
                    f'<line x1="{x1:.0f}" y1="{y1:.0f}" x2="{x2:.0f}" y2="{y2:.0f}" stroke="#cccccc"/>'
                )
    for x, y in seen_from_afar(points):
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="1.6" fill="#1f3f74"/>')
    corner = np.array([-1.2, -1.2, -1.2])
    for axis, name in zip(np.eye(3), "xyz", strict=True):
        parts.append(arrow(corner, corner + 0.5 * axis, f"box {name}", "#888888"))
    parts.append(arrow(zero, 1.5 * n, "n", "#b03a2e"))
    parts.append(arrow(zero, 1.1 * u, "u", "#1e8449"))
    parts.append(arrow(zero, 1.1 * right, "u x n", "#9a7d0a"))

    size, left, top = 10, 390, 60
    for y in range(PIXELS):
        for x in range(PIXELS):
            if level[y, x]:
                parts.append(
                    f'<rect x="{left + size * x}" y="{top + size * (PIXELS - 1 - y)}" width="{size}" '
                    f'height="{size}" fill="{SHADES[level[y, x]]}"/>'
                )
    end = size * PIXELS
    parts += [
        f'<rect x="{left}" y="{top}" width="{end}" height="{end}" fill="none" stroke="#333333"/>',
        f'<text x="{left + end / 2:.0f}" y="{top + end + 20}" text-anchor="middle" fill="#9a7d0a">'
        "+x = u x n; index x rises to the right</text>",
        f'<text x="{left - 10}" y="{top + end / 2:.0f}" text-anchor="middle" fill="#1e8449" '
        f'transform="rotate(-90 {left - 10} {top + end / 2:.0f})">+y = u; index y rises upwards</text>',
        f'<text x="{left + end / 2:.0f}" y="{top - 14}" text-anchor="middle">the map, [los, y, x], as the '
        "observer sees it</text>",
        '<text x="165" y="30" text-anchor="middle">the box; n points to the observer</text>',
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    TARGET.write_text(draw(), encoding="utf-8")
    print(TARGET)
