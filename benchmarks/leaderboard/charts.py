"""Charts as inline SVG: drawn on the server, so they need no script and print well."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from markupsafe import Markup

WIDTH, HEIGHT = 400, 250
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 12, 40
Values = Sequence[float | None]


@dataclass(frozen=True)
class Series:
    """One line of a chart, with its band.

    Parameters
    ----------
    label
        For the legend.
    x, y
        Points; None breaks the line.
    low, high
        Of the band, or None.
    style
        CSS class: ``s0`` (the submission) or ``s1``, ``s2`` (others).
    """

    label: str
    x: Sequence[float]
    y: Values
    low: Values | None = None
    high: Values | None = None
    style: str = "s0"


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers that span low to high."""
    raw = (high - low) / max(count, 1)
    if raw < sys.float_info.min:
        return [low]
    power = 10 ** math.floor(math.log10(raw))
    step = min((m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw), default=raw)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 12) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def _finite(values: Values) -> list[float]:
    return [v for v in values if v is not None and math.isfinite(v)]


def chart(
    title: str,
    lines: Sequence[Series],
    x_label: str,
    y_label: str,
    *,
    y_range: tuple[float, float] | None = None,
    log_x: bool = False,
    guide: float | None = None,
    bars: bool = False,
) -> Markup:
    """A chart with axes, legend and an accessible name.

    Parameters
    ----------
    title
        Read out for the picture.
    lines
        What is drawn; the first one's band too.
    y_range
        Fixed range; by default that of the lines.
    log_x
        Logarithmic abscissa.
    guide
        A level to mark.
    bars
        Draw the first line as a histogram whose x are edges.
    """
    xs = [v for line in lines for v in line.x]
    ys = [v for line in lines for v in _finite(line.y)] + ([guide] if guide is not None else [])
    if not xs or not ys:
        return Markup("<p>Nothing to draw.</p>")
    x0, x1 = min(xs), max(xs)
    y0, y1 = y_range or (min(ys), max(ys))
    if y_range is None:
        margin = 0.06 * (y1 - y0 or abs(y1) or 1.0)
        y0, y1 = (0.0 if bars else y0 - margin), y1 + margin

    def px(x: float) -> float:
        part = math.log(x / x0) / (math.log(x1 / x0) or 1.0) if log_x else (x - x0) / (x1 - x0 or 1.0)
        return LEFT + part * (WIDTH - LEFT - RIGHT)

    def py(y: float) -> float:
        part = min(max((y - y0) / (y1 - y0 or 1.0), -0.02), 1.02)
        return HEIGHT - BOTTOM - part * (HEIGHT - TOP - BOTTOM)

    parts = [f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">']
    x_ticks = [t for t in (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20) if x0 <= t <= x1] if log_x else ticks(x0, x1)
    y_ticks = ticks(y0, y1)
    grid = [f"M{px(t):.0f} {TOP}V{HEIGHT - BOTTOM}" for t in x_ticks]
    grid += [f"M{LEFT} {py(t):.0f}H{WIDTH - RIGHT}" for t in y_ticks]
    parts.append(f'<path class="grid" d="{"".join(grid)}"/><g text-anchor="middle">')
    parts += [f'<text x="{px(t):.0f}" y="{HEIGHT - BOTTOM + 15}">{t:g}</text>' for t in x_ticks]
    parts.append('</g><g text-anchor="end">')
    parts += [f'<text x="{LEFT - 6}" y="{py(t) + 4:.0f}">{t:g}</text>' for t in y_ticks]
    parts.append("</g>")
    if guide is not None:
        parts.append(f'<path class="guide" d="M{LEFT} {py(guide):.1f}H{WIDTH - RIGHT}"/>')
    for line in reversed(lines):
        parts += _bars(line, px, py, y0) if bars else _line(line, px, py, line is lines[0])
    middle = 0.5 * (LEFT + WIDTH - RIGHT)
    parts.append(f'<text x="{middle:.0f}" y="{HEIGHT - 6}" text-anchor="middle">{escape(x_label)}</text>')
    half = 0.5 * (TOP + HEIGHT - BOTTOM)
    parts.append(
        f'<text transform="translate(13 {half:.0f}) rotate(-90)" text-anchor="middle">'
        f"{escape(y_label)}</text>"
    )
    parts.append("</svg>")
    if len(lines) > 1:
        keys = "".join(f'<li class="{line.style}">{escape(line.label)}</li>' for line in lines)
        parts.append(f'<ul class="legend">{keys}</ul>')
    # Every text above went through `escape`.
    return Markup("".join(parts))


def _path(points: Sequence[tuple[float, float] | None], digits: int = 0) -> str:
    path, pen = [], "M"
    for point in points:
        if point is None:
            pen = "M"
        else:
            path.append(f"{pen}{point[0]:.0f} {point[1]:.{digits}f}")
            pen = "L"
    return "".join(path)


def _line(line: Series, px, py, band: bool) -> list[str]:  # type: ignore[no-untyped-def]
    parts = []
    if band and line.low is not None and line.high is not None:
        kept = [
            (x, a, b)
            for x, a, b in zip(line.x, line.low, line.high, strict=True)
            if a is not None and b is not None
        ]
        if kept:
            upper = [(px(x), py(b)) for x, _, b in kept]
            lower = [(px(x), py(a)) for x, a, _ in reversed(kept)]
            parts.append(f'<path class="band {line.style}" d="{_path([*upper, *lower], 0)}Z"/>')
    points = [None if y is None else (px(x), py(y)) for x, y in zip(line.x, line.y, strict=True)]
    parts.append(f'<path class="line {line.style}" d="{_path(points)}"/>')
    return parts


def _bars(line: Series, px, py, floor: float) -> list[str]:  # type: ignore[no-untyped-def]
    tops = [f"V{py(value or 0):.1f}H{px(right):.1f}" for right, value in zip(line.x[1:], line.y, strict=True)]
    return [f'<path class="bars" d="M{px(line.x[0]):.1f} {py(floor):.1f}{"".join(tops)}V{py(floor):.1f}Z"/>']


def forest(rows: Sequence[tuple[str, float, float | None, float | None, str]], label: str) -> Markup:
    """A forest plot: a point and an interval a row.

    Parameters
    ----------
    rows
        (name, value, low, high, CSS class).
    label
        Of the abscissa.
    """
    if not rows:
        return Markup("")
    width, step, left = 640, 22, 200
    height = step * len(rows) + 44
    known = [v for _, value, low, high, _ in rows for v in (value, low, high) if v is not None]
    x0, x1 = 0.0, max(known) * 1.05 or 1.0

    def px(x: float) -> float:
        return left + (x - x0) / (x1 - x0) * (width - left - 14)

    parts = [
        f'<svg class="forest" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escape(label)}: value and interval of {len(rows)} rows, as in the table">'
    ]
    for tick in ticks(x0, x1, 6):
        parts.append(
            f'<path class="grid" d="M{px(tick):.1f} 4V{height - 38}"/>'
            f'<text x="{px(tick):.1f}" y="{height - 22}" text-anchor="middle">{tick:g}</text>'
        )
    for place, (name, value, low, high, style) in enumerate(rows):
        y = step * place + 16
        shown = name if len(name) <= 28 else name[:27] + "…"
        parts.append(f'<text x="{left - 8}" y="{y + 4}" text-anchor="end">{escape(shown)}</text>')
        if low is not None and high is not None:
            parts.append(f'<path class="whisker {style}" d="M{px(low):.1f} {y}H{px(high):.1f}"/>')
        parts.append(f'<circle class="{style}" cx="{px(value):.1f}" cy="{y}" r="4"/>')
    parts.append(
        f'<text x="{0.5 * (left + width):.0f}" y="{height - 5}" text-anchor="middle">'
        f"{escape(label)}</text></svg>"
    )
    return Markup("".join(parts))
