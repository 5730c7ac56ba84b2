"""`simulate --check --report`: docs/synthetic.md with its table, figures and gallery, from fresh seeds."""

from __future__ import annotations

import itertools
import json
import resource
import tempfile
import time
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.display import markdown_table, sections
from three_hundred_maps.errors import InputError
from three_hundred_maps.io import spawn_pool
from three_hundred_maps.simulation.synthetic.region import make_region, simulate_region, write_region
from three_hundred_maps.simulation.synthetic.setup import FLAVOURS, GENERATOR_VERSION
from three_hundred_maps.simulation.synthetic.universe import draw_halos, draw_plan
from tools.realism.attack import attack_table
from tools.realism.cavities import (
    CAVITY_REGIONS,
    CAVITY_RISE,
    CAVITY_SEED,
    MASS_EDGES,
    cavity_counts,
)
from tools.realism.check import (
    CHECK_SEED,
    SELECTED_MSUN,
    CheckRow,
    check_tables,
    flatness,
    run_surveys,
)
from tools.realism.gallery import draw_gallery, draw_relations
from tools.realism.substructure import (
    PLAUSIBLE,
    SUBSTRUCTURE_REGIONS,
    SUBSTRUCTURE_SEED,
    detected_fraction,
)
from tools.realism.survey import MEASURED, Progress
from tools.realism.texture import AIMS, HIGH_MSUN, LOW_MSUN, aimed_medians, aims_table

_VALUES = "values.json"
FULL_SET = 5041
PLANNED = 2000
"""Regions whose plans are counted."""
LIGHT_REGION = 31
"""Of the check's seed: three halos and few particles."""
SPEED_SEED, SPEED_REGIONS, LARGEST_OF = 99001, 12, 400
BESIDE_REGIONS = len(FLAVOURS) * (CAVITY_REGIONS + SUBSTRUCTURE_REGIONS)
"""Regions that a report simulates beside those of the check."""


def fingerprint() -> dict[str, dict[str, list[float]]]:
    """Mean and standard deviation of every field of one region's particles: what the generator makes.

    Equal to 1e-5 on any processor; a change of the generator's physics changes it by more.
    """
    return {
        flavour: {
            f"{kind} {name}": [float(f(values, dtype=np.float64)) for f in (np.mean, np.std)]
            for kind, fields in make_region(CHECK_SEED, LIGHT_REGION, flavour, "light").particles.items()
            for name, values in fields.items()
        }
        for flavour in FLAVOURS
    }


def measure_speed(resolution: str, regions: int) -> dict[str, float]:
    """All CPU of `simulate_region`, files and catalogue included, over the clusters selected."""
    make_region(SPEED_SEED, 1, "gizmo", resolution)  # compiled code is loaded before the clock starts
    selected = sum(
        int((draw_halos(SPEED_SEED, region, "gizmo").M200c_msun >= SELECTED_MSUN).sum())
        for region in range(1, regions + 1)
    )
    with tempfile.TemporaryDirectory() as scratch:
        start = time.process_time()
        largest = 0
        for region in range(1, regions + 1):
            files = simulate_region(
                scratch, seed=SPEED_SEED, region=region, flavour="gizmo", resolution=resolution
            )
            largest = max(largest, files.snapshot.stat().st_size)
            files.snapshot.unlink()
        seconds = time.process_time() - start
    return {
        "cpu_s_per_cluster": seconds / selected,
        "cpu_s_per_region": seconds / regions,
        "largest_snapshot_mib": largest / 2**20,
    }


def _make_and_write(region: int) -> dict[str, float]:
    """Time and memory of one region at full resolution in this process, which does nothing else."""
    make_region(SPEED_SEED, region, "gizmo", "light")  # compiled code is loaded before the clock starts
    start = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        data = make_region(SPEED_SEED, region, "gizmo", "full")
        write_region(Path(folder), data)
    return {
        "cpu_s": time.process_time() - start,
        "gas": float(len(data.particles[0]["id"])),
        "dark_matter": float(len(data.particles[1]["id"])),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def measure_largest() -> dict[str, float]:
    """Of the most massive of many regions, in a process of its own."""
    masses = [draw_halos(SPEED_SEED, region).M200c_msun.sum() for region in range(1, LARGEST_OF + 1)]
    with spawn_pool(1) as pool:
        return pool.submit(_make_and_write, 1 + int(np.argmax(masses))).result()


def make_report(
    page: Path,
    seed: int,
    regions: int,
    workers: int = 1,
    progress: Progress = None,
) -> list[CheckRow]:
    """Measure everything afresh and write ``page`` with its figures and numbers in a folder beside it."""
    folder = page.parent / page.stem
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / _VALUES
    before = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    tables = run_surveys(seed, regions, workers, progress)
    lines = check_tables(tables)
    beside: dict[str, Any] = {"workers": workers, "progress": progress}
    values: dict[str, Any] = {
        "fingerprint": fingerprint(),
        "version": GENERATOR_VERSION,
        **{name: before.get(name, {}) for name in ("texture", "attack")},
        "seed": seed,
        "regions": regions,
        "lines": [line.to_json() for line in lines],
        **count_plans(seed),
        "substructure_seed": SUBSTRUCTURE_SEED,
        "detected": {flavour: detected_fraction(flavour, **beside) for flavour in FLAVOURS},
        "cavities": {flavour: cavity_counts(flavour, **beside) for flavour in FLAVOURS},
        "speed": {
            "light": measure_speed("light", SPEED_REGIONS),
            "full": measure_speed("full", max(SPEED_REGIONS // 2, 1)),
            "largest": measure_largest(),
        },
    }
    draw_relations(tables, folder / "relations.png")
    for flavour in FLAVOURS:
        draw_gallery(flavour, folder / f"gallery-{flavour}.png")
    _write(page, values)
    return lines


def keep_texture(
    page: Path,
    stores: Mapping[str, Sequence[Mapping[str, float]]],
    attacked: Mapping[str, Mapping[str, float]],
) -> None:
    """Put the figures of stores' maps, and what `attack` finds in them, into a page of `make_report`.

    Raises
    ------
    InputError
        Where the page has no numbers beside it.
    """
    kept = page.parent / page.stem / _VALUES
    if not kept.exists():
        raise InputError(f"{page}: no {kept} beside it; write the page with simulate --check --report first")
    values = json.loads(kept.read_text(encoding="utf-8"))
    values["texture"] = {name: aimed_medians(halos) for name, halos in stores.items()}
    values["attack"] = {name: dict(row) for name, row in attacked.items()}
    _write(page, values)


def _write(page: Path, values: dict[str, Any]) -> None:
    numbers = json.dumps(values, indent=1, sort_keys=True) + "\n"
    (page.parent / page.stem / _VALUES).write_text(numbers, encoding="utf-8")
    page.write_text(render_page(values, page.stem), encoding="utf-8")


def count_plans(seed: int) -> dict[str, Any]:
    """How flat the sample is and how many clusters a region holds, from the plans of many regions."""
    rows = np.concatenate([_plan_rows(seed, region) for region in range(1, PLANNED + 1)])
    counts, ratio = flatness(rows)
    selected = int((rows[:, MEASURED.index("M_intended")] >= SELECTED_MSUN).sum())
    return {
        "bins": counts,
        "fullest_over_median": ratio,
        "selected_per_region": float(sum(counts)) / PLANNED,
        "clusters_per_region": selected / PLANNED,
    }


def _plan_rows(seed: int, region: int) -> NDArray[np.float64]:
    """Rows as the survey's with nothing but the intended mass: what flatness needs."""
    masses = draw_plan(seed, region).mass
    rows = np.full((len(masses), len(MEASURED)), np.nan)
    rows[:, MEASURED.index("M_intended")] = masses
    return rows


def render_page(values: dict[str, Any], stem: str = "synthetic") -> str:
    """The page from its numbers, by the text in ``synthetic.md``: the same numbers give the same page."""
    text = sections(files(__package__).joinpath("synthetic.md"))
    rows = [
        (
            *(row["quantity"], row["flavour"], *(f"{row[name]:.4g}" for name in ("value", "low", "high"))),
            *(row["number"], "in" if row["ok"] else "**out**"),
        )
        for row in values["lines"]
    ]
    heads = ("quantity", "flavour", "value", "from", "to", "halos", "range")
    detected = [
        (view, *(f"{values['detected'][f][view][0]:.0%}" for f in FLAVOURS), f"{low:.0%}-{high:.0%}")
        for view, (low, high) in PLAUSIBLE.items()
    ]
    cavities = [
        (f"{low}-{high}", *("{} of {}".format(*values["cavities"][flavour][k]) for flavour in FLAVOURS))
        for k, (low, high) in enumerate(itertools.pairwise(MASS_EDGES))
    ]
    largest = values["speed"]["largest"]
    return (
        text["PAGE"].format(
            **values,
            stem=stem,
            LOW_MSUN=LOW_MSUN,
            HIGH_MSUN=HIGH_MSUN,
            CAVITY_RISE=CAVITY_RISE,
            CAVITY_SEED=CAVITY_SEED,
            CAVITY_REGIONS=CAVITY_REGIONS,
            FULL_SET=FULL_SET,
            LARGEST_OF=LARGEST_OF,
            good=sum(row["ok"] for row in values["lines"]),
            rows=len(rows),
            texture_table=_texture(values, text["TEXTURE"], stem),
            calibration=markdown_table(heads, rows),
            substructure=markdown_table(("view", *FLAVOURS, "plausible"), detected),
            cavity_table=markdown_table(("log10 M200c (Msun/h)", *FLAVOURS), cavities),
            counted=", ".join(map(str, values["bins"])),
            needed=int(np.ceil(FULL_SET / values["clusters_per_region"] / 50.0) * 50),
            gas_millions=largest["gas"] / 1e6,
            dark_millions=largest["dark_matter"] / 1e6,
        )
        + "\n"
    )


def _texture(values: dict[str, Any], text: str, stem: str) -> str:
    """The maps' statistics beside those of a real simulation."""
    kept = values.get("texture")
    if not kept:
        return "No store has been measured yet."
    missed = {
        name: [aim.words for figure, aim in AIMS.items() if not aim.low <= row[figure] <= aim.high]
        for name, row in kept.items()
    }
    outside = "; ".join(f"{name}: {', '.join(words) or 'nothing'}" for name, words in missed.items())
    return text.format(
        aims=aims_table(kept), outside=outside, stem=stem, attacks=attack_table(values["attack"])
    )
