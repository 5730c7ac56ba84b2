"""The scoring program of a Codabench competition: what its container runs for every submission.

The platform lays out ``input/ref`` (the reference data), ``input/res`` (the submission, unpacked) and
``output``, and reads ``output/scores.json``, one number a column of the board.
https://docs.codabench.org/latest/Organizers/Benchmark_Creation/Competition-Bundle-Structure/
"""

from __future__ import annotations

import html
import json
import math
import os
from pathlib import Path

from benchmarks.manifest import MANIFEST, read_manifest
from benchmarks.packing import opened
from benchmarks.registry import RANKING
from benchmarks.score_table import score_table
from benchmarks.scoring import score_submission
from three_hundred_maps.errors import InputError
from three_hundred_maps.io import write_bytes, write_json
from three_hundred_maps.keys import parse_views

REFERENCE, RESULT = "ref", "res"
RULES = "competition.json"
HOME = "home"
"""In the reference data: the kept background of the data set, else measured for every submission."""
COLUMNS = (
    *(RANKING, "skill", "residual_bias", "mass_bias", "mass_scatter", "log_m200_scatter"),
    *("k_0.5", "ssim", "peak_f1", "crps", "coverage_68", "spread_skill"),
)
"""Scores on the platform's board; the first ranks."""


def find_submission(folder: Path) -> Path:
    """The submission in what the platform unpacked: the folder itself, or the one folder or file in it."""
    if (folder / MANIFEST).is_file():
        return folder
    entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith((".", "__MACOSX")))
    if len(entries) != 1:
        names = ", ".join(entry.name for entry in entries) or "nothing"
        raise InputError(f"the upload holds {names}; expected {MANIFEST} and its predictions, or one archive")
    return entries[0]


def run(source: Path, out: Path) -> dict[str, float]:
    """Score the platform's submission.

    Parameters
    ----------
    source
        The folder with ``ref`` and ``res``.
    out
        Gets ``scores.json`` and ``detailed_results.html``.

    Returns
    -------
    The scores, those that the submission has.

    Raises
    ------
    InputError
        Where the submission is not valid, uses a view that the competition does not allow, or cannot be
        ranked.
    """
    reference = source / REFERENCE
    rules = json.loads((reference / RULES).read_text("utf-8"))
    os.environ["THREE_HUNDRED_MAPS_HOME"] = str(reference / HOME)
    with opened(find_submission(source / RESULT)) as folder:
        manifest = read_manifest(folder)
        more = set(parse_views(manifest.track)) - set(parse_views(rules["track"]))
        if manifest.task != rules["task"] or more:
            raise InputError(
                f"{MANIFEST}: task {manifest.task}, track {manifest.track}; this competition takes the task "
                f"{rules['task']} and the views {rules['track']}"
            )
        result = score_submission(folder, reference / rules["truth"])
    if not result["ranked"]:
        raise InputError("not ranked: " + ("; ".join(result["flags"]) or "too few regions"))
    values = {name: result["scores"].get(name, {}).get("value") for name in COLUMNS}
    scores = {name: float(v) for name, v in values.items() if v is not None and math.isfinite(v)}
    write_json(out / "scores.json", scores)
    page = f'<!doctype html><meta charset="utf-8"><pre>{html.escape(score_table(result))}</pre>\n'
    write_bytes(out / "detailed_results.html", page.encode())
    return scores
