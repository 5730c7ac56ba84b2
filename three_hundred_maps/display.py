"""How maps and tables are shown, wherever they are: colour maps, decades, Markdown tables."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.resources.abc import Traversable

COLOUR_MAPS = {"sz": "magma", "xray": "inferno", "star": "bone", "mass": "viridis"}
"""matplotlib's colour map of each view; `DEFAULT_COLOUR_MAP` for others."""
DEFAULT_COLOUR_MAP = "cividis"
RESIDUAL_COLOUR_MAP = "RdBu_r"

DECADES = {"sz": 3.0, "xray": 5.0, "star": 4.0, "mass": 3.0}
"""How many decades below the brightest pixel a view's colours reach; `DEFAULT_DECADES` for others."""
DEFAULT_DECADES = 4.0


SOLAR_MAGNITUDE = {"lum_g": 5.11, "lum_r": 4.65, "lum_i": 4.53, "lum_z": 4.50}
"""Absolute AB magnitude of the Sun, the unit of each view of starlight (Willmer 2018, SDSS's bands)."""
SURFACE_BRIGHTNESS = 21.572 + 15.0
"""mag arcsec-2 of a body of absolute magnitude 0 a kpc2: 10 pc seen over 1 arcsec2, and 1e6 pc2 a kpc2."""


def sections(file: Traversable) -> dict[str, str]:
    """The parts of a Markdown file, by the name in the comment ``<!-- NAME -->`` above each."""
    _, *parts = re.split(r"^<!-- (\w+) -->\n", file.read_text("utf-8"), flags=re.MULTILINE)
    return {name: text.strip("\n") for name, text in zip(parts[::2], parts[1::2], strict=True)}


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table; a vertical bar in a cell is escaped, a newline becomes a space."""

    def line(cells: Sequence[object]) -> str:
        return "| " + " | ".join(" ".join(str(c).split()).replace("|", "\\|") for c in cells) + " |"

    return "\n".join([line(head), "| " + " | ".join("---" for _ in head) + " |", *map(line, rows)])
