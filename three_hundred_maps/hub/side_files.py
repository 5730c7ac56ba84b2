"""What goes beside the card: eval.yaml for the Hub's leaderboards, and the citation file."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import yaml

from three_hundred_maps._version import __version__
from three_hundred_maps.hub.card import TEXTS

TARGET = "mass"
TRACKS = (("sz",), ("xray",), ("star",), ("sz", "xray", "star"))
"""The paper's four sets of views."""


def render_eval(manifest: Mapping[str, Any]) -> str:
    """eval.yaml: one task a config and track, each ranked by its one value, ``skill``.

    The Hub takes the larger value for the better one, and ``evaluation_framework`` from a list of its own
    (``packages/tasks/src/eval.ts`` of huggingface.js), which does not hold this project: so there is none.
    """
    tasks = []
    for name, c in manifest["configs"].items():
        if TARGET not in c["views"] or not c["splits"]["test"]["rows"]:
            continue
        for track in TRACKS:
            if set(track) <= set(c["views"]):
                tasks.append({"id": f"{name}-mass-map-{'-'.join(track)}", "config": name, "split": "test"})
    content = {
        "name": "three_hundred_maps: mass maps of galaxy clusters",
        "description": (
            "Infer the projected total mass of a galaxy cluster from the views that a task names. The value "
            "is skill, 1 less the mean square of log10 of predicted over true surface density inside R200c, "
            "smoothed to 0.05 R200c, over that of the mean cluster (1 is perfect), as python -m benchmarks "
            "score gives it."
        ),
        "tasks": tasks,
    }
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100)


def render_citation(manifest: Mapping[str, Any], repository: str) -> str:
    """CITATION.cff of the data set; what is always the same is in ``citation.yaml``."""
    configs = manifest["configs"]
    kinds = ["synthetic" if c["synthetic"] else "simulated" for c in configs.values()]
    notes = "; ".join(
        f"{name}: {kind}, store digest {c['digest']}"
        for (name, c), kind in zip(configs.items(), kinds, strict=True)
    )
    content = yaml.safe_load(files(__package__).joinpath("citation.yaml").read_text("utf-8"))
    content |= {
        "title": TEXTS["TITLE"],
        "abstract": f"Configs: {notes}.",
        "version": __version__,
        "url": f"https://huggingface.co/datasets/{repository}",
    }
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100)
