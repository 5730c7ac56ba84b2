"""Pictures of maps: a halo's views, a prediction beside the truth, radial profiles.

Every function takes arrays and gives a `matplotlib.figure.Figure` that belongs to no window:
``figure.savefig("halo.png")`` writes it, a notebook shows it.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.display import (
    COLOUR_MAPS,
    DECADES,
    DEFAULT_COLOUR_MAP,
    DEFAULT_DECADES,
    RESIDUAL_COLOUR_MAP,
)
from three_hundred_maps.errors import InputError
from three_hundred_maps.geometry import FLOOR_MSUN_KPC2, floored_log, ring_fractions

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Map = NDArray[np.floating[Any]]

LABELS = {
    "sz": ("Sunyaev-Zeldovich", "Compton y"),
    "xray": ("X-rays", "10$^{44}$ erg s$^{-1}$ kpc$^{-2}$"),
    "star": ("stars", "M$_\\odot$ kpc$^{-2}$"),
    "mass": ("total mass", "M$_\\odot$ kpc$^{-2}$"),
}
"""Title and units of the views of every store, as matplotlib writes them."""

MOST_MAGNITUDES = 8
"""Steps of one magnitude on a colour bar, at most."""
FEW_DECADES = 2.0
"""Colour bars of fewer decades have ticks between powers of ten."""

PROFILE_EDGES = np.geomspace(0.03, 1.0, 16)
"""Edges in R200c of the rings of `plot_profile`."""


def new_figure(rows: int, columns: int, size: tuple[float, float]) -> tuple[Figure, Any]:
    """A figure of ``size`` inches and its (rows, columns) axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    # A notebook draws the figures of pyplot alone by itself; of others it asks for this.
    figure._repr_png_ = partial(png, figure)  # type: ignore[attr-defined]
    return figure, figure.subplots(rows, columns, squeeze=False)


def png(figure: Figure, dpi: int = 110) -> bytes:
    """The figure as PNG bytes that hold no date and no version, so that the same figure is the same file."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=dpi, metadata={"Software": None}, bbox_inches="tight")
    return stream.getvalue()


def colour_range(view: str, maps: Map) -> tuple[float, float]:
    """Smallest and largest value of the colours: the view's decades below the brightest pixel."""
    positive = maps[np.isfinite(maps) & (maps > 0)]
    if positive.size == 0:
        return 0.1, 1.0
    top = float(positive.max())
    low = max(float(np.percentile(positive, 0.5)), top * 10.0 ** -DECADES.get(view, DEFAULT_DECADES))
    return (low, top) if low < top else (0.1 * top, top)


def draw_map(
    axis: Any,
    view: str,
    values: Map,
    *,
    span: tuple[float, float] | None = None,
    width: float = 2.0,
    R200c_kpc: float | None = None,
    ticks: bool = True,
) -> Any:
    """Draw one map with the circle of R200c, in the view's colours.

    Parameters
    ----------
    axis
        matplotlib's axes.
    view
        Name of the view: its colours and, without ``span``, how many decades they reach down.
    values
        (y, x) in the view's units; colours go with their logarithm, of a map with negative values beyond the
        median of its magnitudes, so that noise stays pale.
    span
        Smallest and largest value of the colours.
    width
        Side of the map in R200c.
    R200c_kpc
        Draws a bar of a round length in kpc too.
    ticks
        Whether the axes say x and y in R200c.

    Returns
    -------
    matplotlib.image.AxesImage
        For a colour bar.
    """
    from matplotlib.colors import LogNorm, SymLogNorm

    if np.nanmin(values) < 0:
        reach = float(np.nanmax(np.abs(values)))
        middle = max(float(np.nanmedian(np.abs(values))), reach / 100.0)
        # By itself half of the colours were of what is below the median.
        norm: Any = SymLogNorm(middle, linscale=0.25, vmin=-reach, vmax=reach)
        colours, line = RESIDUAL_COLOUR_MAP, "black"  # its middle is white
    else:
        low, high = span or colour_range(view, values)
        norm, colours = LogNorm(low, high), COLOUR_MAPS.get(view, DEFAULT_COLOUR_MAP)
        line = "white"
        values = np.maximum(values, low)
    half = width / 2.0
    drawn = axis.imshow(
        values,
        origin="lower",
        extent=(-half, half, -half, half),
        norm=norm,
        cmap=colours,
        interpolation="nearest",
    )
    draw_circle(axis, half=half, ticks=ticks, colour=line)
    if R200c_kpc is not None:
        draw_scale(axis, R200c_kpc, half=half)
    return drawn


def colour_bar(figure: Figure, drawn: Any, axis: Any, label: str, zero: float | None = None) -> None:
    """Draw the colour bar of a map below it, with ticks that stand apart however few decades it spans.

    Where ``zero`` is given, ticks are magnitudes: those of a value of 1 are ``zero``.

    Left to itself matplotlib writes 2, 3, 4, 6 x 10^n on bars of less than a decade, one over the other.
    """
    from matplotlib.colors import LogNorm, SymLogNorm
    from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

    bar = figure.colorbar(drawn, ax=axis, location="bottom", shrink=0.95)
    low, high = drawn.get_clim()
    ticks: list[float] = []
    if zero is not None:
        faint, bright = (zero - 2.5 * math.log10(value) for value in (low, high))
        step = max(1, math.ceil((faint - bright) / MOST_MAGNITUDES))
        magnitudes = range(math.ceil(bright), math.floor(faint) + 1, step)
        bar.set_ticks([10.0 ** (0.4 * (zero - m)) for m in magnitudes], labels=[str(m) for m in magnitudes])
        bar.ax.xaxis.set_minor_locator(NullLocator())
    elif isinstance(drawn.norm, LogNorm) and math.log10(high / low) < FEW_DECADES:
        ticks = round_values(low, high)
    elif isinstance(drawn.norm, SymLogNorm):
        above = round_values(drawn.norm.linthresh, high, most=1)[-1]
        ticks = [-above, 0.0, above]
    if ticks:
        bar.set_ticks(ticks)
        bar.ax.xaxis.set_minor_locator(NullLocator())
        bar.ax.xaxis.set_minor_formatter(NullFormatter())
        bar.ax.xaxis.set_major_formatter(FuncFormatter(lambda value, place: _power_of_ten(value)))
    bar.set_label(label, fontsize=8)
    bar.ax.tick_params(labelsize=7)


def round_values(low: float, high: float, most: int = 4) -> list[float]:
    """At most ``most`` round values from ``low`` to ``high``, about evenly apart in their logarithm."""
    for steps in ((1, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)):
        powers = range(math.floor(math.log10(low)), math.floor(math.log10(high)) + 1)
        values = [step * 10.0**power for power in powers for step in steps]
        values = [value for value in values if low <= value <= high]
        if len(values) <= most:
            break
    # a bar too short for any: its ends, in three digits
    return values if len(values) >= min(most, 2) else [float(f"{value:.2e}") for value in (low, high)]


def _power_of_ten(value: float) -> str:
    if value < 0:
        return f"\u2212{_power_of_ten(-value)}"
    factor, power = f"{value:.2e}".split("e")
    number = f"{float(factor):g}"
    if -3 <= int(power) <= 3:
        return f"{value:.3g}"
    return rf"${'' if number == '1' else number + chr(92) + 'times'}10^{{{int(power)}}}$"


def draw_circle(axis: Any, *, half: float = 1.0, ticks: bool = True, colour: str = "white") -> None:
    """Draw the circle of R200c, and as ticks the centre and R200c."""
    from matplotlib.patches import Circle

    axis.add_patch(Circle((0, 0), 1.0, fill=False, lw=0.8, ls=(0, (3, 3)), color=colour, alpha=0.7))
    reach = [-1, 0, 1] if half >= 1 else [-half, 0, half]
    axis.set_xticks(reach if ticks else [])
    axis.set_yticks(reach if ticks else [])
    axis.tick_params(labelsize=8, length=2)


def draw_scale(axis: Any, R200c_kpc: float, *, half: float = 1.0) -> None:
    """Draw a bar of a round length in kpc in the lower left corner."""
    from matplotlib.patheffects import withStroke

    longest = 0.5 * half * R200c_kpc
    power = 10.0 ** math.floor(math.log10(longest))
    # 0.5: the logarithm of what is all but a power of ten is rounded up.
    length = max(step * power for step in (0.5, 1, 2, 5) if step * power <= longest)
    left, outline = -0.92 * half, withStroke(linewidth=2.2, foreground="black", alpha=0.6)
    own = {"color": "white", "path_effects": [outline]}
    axis.plot([left, left + length / R200c_kpc], [-0.9 * half] * 2, lw=2, **own)
    axis.text(left, -0.86 * half, f"{length:g} kpc", fontsize=8, **own)


def draw_residual(axis: Any, truth: Map, predicted: Map, *, dex: float = 0.6, ticks: bool = True) -> Any:
    """Draw l(predicted) - l(truth) in dex, l(m) = log10(max(m, 1e6 Msun kpc-2)), to +-``dex``."""
    drawn = axis.imshow(
        floored_log(predicted) - floored_log(truth),
        origin="lower",
        extent=(-1, 1, -1, 1),
        cmap=RESIDUAL_COLOUR_MAP,
        vmin=-dex,
        vmax=dex,
        interpolation="nearest",
    )
    draw_circle(axis, ticks=ticks, colour="black")
    return drawn


def plot_halo(
    row: Mapping[str, Any],
    views: str | Sequence[str] | None = None,
    *,
    units: Mapping[str, str] | None = None,
    width: float = 2.0,
) -> Figure:
    """Draw the views of one row side by side.

    Parameters
    ----------
    row
        A row of `load_dataset` or any mapping: (y, x) maps by view, 2 R200c a side, and M200c (Msun),
        R200c (kpc), redshift where they are known.
    views
        Which, in order; by default every 2-D array of the row.
    units
        By view, where they are not those of an ideal store: ``attrs["units"]`` of the store's arrays.
    width
        Side of the maps in R200c: ``attrs["width_R200c"]`` of the store, 3 of a wide one.

    Raises
    ------
    InputError
        Where the row holds no map, or not that view.
    """
    maps = {name: np.asarray(value) for name, value in row.items() if np.ndim(value) == 2}
    views = [views] if isinstance(views, str) else views
    missing = [name for name in views or () if name not in maps]
    if missing or not maps:
        raise InputError(f"the row holds no map {', '.join(missing)}; it has {', '.join(maps) or 'none'}")
    names = list(views or maps)
    R200c_kpc = float(row["R200c"]) if "R200c" in row else None
    figure, axes = new_figure(1, len(names), (3.4 * len(names), 4.1))
    for axis, name in zip(axes[0], names, strict=True):
        drawn = draw_map(axis, name, maps[name], width=width, R200c_kpc=R200c_kpc)
        title, unit = LABELS.get(name, (name, ""))
        colour_bar(figure, drawn, axis, (units or {}).get(name, unit))
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("x / R200c", fontsize=8)
    figure.suptitle(_title(row), fontsize=10)
    return figure


def _title(row: Mapping[str, Any]) -> str:
    words = ["SYNTHETIC"] if row.get("synthetic") else []
    if "region" in row and "halo_id" in row:
        words.append(f"region {row['region']}, halo {row['halo_id']}")
    if "M200c" in row:
        words.append(rf"$M_{{200c}}$ = {float(row['M200c']):.3g} $M_\odot$")
    if "redshift" in row:
        words.append(f"z = {float(row['redshift']):.2f}")
    return ", ".join(words)


def plot_prediction(truth: Map, predicted: Map | Mapping[str, Map], *, dex: float = 0.6) -> Figure:
    """Draw predicted mass maps beside the true one, and their errors in dex below.

    Parameters
    ----------
    truth
        (y, x) Msun kpc-2.
    predicted
        A map of the same shape, or several by name.
    dex
        Half range of the error's colours.

    Raises
    ------
    InputError
        Where a shape differs from the truth's.
    """
    truth = np.asarray(truth)  # rows of datasets hold lists
    given = predicted if isinstance(predicted, Mapping) else {"prediction": predicted}
    models = {name: np.asarray(values) for name, values in given.items()}
    for name, values in models.items():
        if values.shape != truth.shape:
            raise InputError(f"{name} has shape {values.shape}, the truth {truth.shape}")
    span = colour_range("mass", truth)
    figure, axes = new_figure(2, 1 + len(models), (3.0 * (1 + len(models)), 5.8))
    drawn = draw_map(axes[0][0], "mass", truth, span=span)
    axes[0][0].set_title("truth", fontsize=10)
    axes[1][0].axis("off")
    for upper, lower, (name, values) in zip(axes[0][1:], axes[1][1:], models.items(), strict=True):
        draw_map(upper, "mass", values, span=span)
        upper.set_title(name, fontsize=10)
        error = draw_residual(lower, truth, values, dex=dex)
        lower.set_xlabel("x / R200c", fontsize=8)
    figure.colorbar(drawn, ax=list(axes[0]), shrink=0.85, label=LABELS["mass"][1])
    figure.colorbar(error, ax=list(axes[1]), shrink=0.85, label="predicted - true / dex")
    return figure


def plot_profile(maps: Map | Mapping[str, Map], *, R200c_kpc: float | None = None) -> Figure:
    """Draw the mean surface density in rings, one line a map.

    Parameters
    ----------
    maps
        A (y, x) map in Msun kpc-2, 2 R200c a side, or several by name; the lower panel compares them with
        the first.
    R200c_kpc
        Says the radius in kpc too.

    Raises
    ------
    InputError
        Where there is no map, or one that is not square.
    """
    named = maps if isinstance(maps, Mapping) else {"map": maps}
    if not named:
        raise InputError("there is no map to draw a profile of")
    figure, axes = new_figure(2, 1, (5.2, 5.0))
    upper, lower = axes[:, 0]
    radius = np.sqrt(PROFILE_EDGES[1:] * PROFILE_EDGES[:-1])
    reference: NDArray[np.float64] | None = None
    for name, values in named.items():
        values = np.asarray(values)
        if values.ndim != 2 or values.shape[0] != values.shape[1]:
            raise InputError(f"{name} has shape {values.shape}: a map is square")
        weights = ring_fractions(len(values), PROFILE_EDGES, 2.0 / len(values))
        profile = (weights * values).sum((1, 2)) / weights.sum((1, 2))
        profile = np.maximum(profile, FLOOR_MSUN_KPC2)
        upper.plot(radius, profile, label=name, lw=1.4)
        if reference is None:
            reference = profile
        lower.plot(radius, np.log10(profile / reference), lw=1.4)
    upper.set(xscale="log", yscale="log", ylabel=LABELS["mass"][1])
    lower.set(xscale="log", xlabel="R / R200c", ylabel=f"dex from {next(iter(named))}")
    if R200c_kpc is not None:
        top = upper.secondary_xaxis(
            "top", functions=(lambda r: r * R200c_kpc, lambda length: length / R200c_kpc)
        )
        top.set_xlabel("R / kpc")
    upper.legend(frameon=False, fontsize=9)
    return figure
