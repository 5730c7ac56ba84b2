"""The picture of a run: loss and validation error against samples seen."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from three_hundred_maps.io import write_bytes


def draw_curve(rows: Sequence[dict[str, Any]], path: Path, *, title: str) -> None:
    """Write the learning curve of a run's log ``rows`` as a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    epochs = [row["epoch"] for row in rows]
    validation = [row["validation_rms_dex"] for row in rows]
    if not all(math.isnan(value) for value in validation):
        axes.plot(epochs, validation, "o-", ms=3, color="#1b6ca8", label="validation, averaged weights")
        best = min(
            range(len(rows)), key=lambda i: validation[i] if not math.isnan(validation[i]) else math.inf
        )
        axes.plot(epochs[best], validation[best], "o", ms=8, mfc="none", color="#c0392b", label="kept")
        axes.annotate(
            f"{validation[best]:.4f}",
            (epochs[best], validation[best]),
            (0, 9),
            textcoords="offset points",
            ha="center",
        )
        axes.legend(frameon=False, loc="upper right")
    axes.set(xlabel="epochs", ylabel="residual rms (dex)", title=title)
    axes.margins(y=0.12)
    axes.grid(alpha=0.3)
    twin = axes.twinx()
    twin.plot(epochs, [row["train_loss"] for row in rows], color="0.6", lw=1)
    twin.set_ylabel("training loss", color="0.4")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    write_bytes(path, buffer.getvalue())
