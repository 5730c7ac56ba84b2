"""What goes beside the card: eval.yaml for the Hub's leaderboards, and the citation file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from three_hundred_maps._version import __version__
from three_hundred_maps.hub.card_text import TEXTS

TARGET = "mass"
PAPER = "Generating galaxy clusters mass density maps from mock multiview images via deep learning"
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
    """CITATION.cff of the data set."""
    paper_authors = (
        ("de Andres", "Daniel"),
        ("Cui", "Weiguang"),
        ("Yepes", "Gustavo"),
        ("De Petris", "Marco"),
        ("Aversano", "Gianmarco"),
        ("Ferragamo", "Antonio"),
        ("De Luca", "Federico"),
        ("Jiménez Muñoz", "A."),
    )
    configs = manifest["configs"]
    kinds = ["synthetic" if c["synthetic"] else "simulated" for c in configs.values()]
    notes = "; ".join(
        f"{name}: {kind}, store digest {c['digest']}"
        for (name, c), kind in zip(configs.items(), kinds, strict=True)
    )
    content = {
        "cff-version": "1.2.0",
        "message": "If you use these maps, please cite the data set, the paper and the simulations it names.",
        "title": TEXTS["TITLE"],
        "type": "dataset",
        "abstract": f"Configs: {notes}.",
        "authors": [{"name": "The three_hundred_maps developers"}],
        "version": __version__,
        "url": f"https://huggingface.co/datasets/{repository}",
        "references": [
            {
                "type": "article",
                "title": PAPER,
                "authors": [{"family-names": f, "given-names": g} for f, g in paper_authors],
                "year": 2024,
                "journal": "EPJ Web of Conferences",
                "volume": "293",
                "start": "00013",
                "doi": "10.1051/epjconf/202429300013",
            }
        ],
    }
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100)
