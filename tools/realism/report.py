"""`simulate --check --report`: docs/synthetic.md with its table, figures and gallery, from fresh seeds."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.io import sha256_bytes
from three_hundred_maps.simulation import synthetic
from three_hundred_maps.simulation.synthetic.region import make_region, simulate_region
from three_hundred_maps.simulation.synthetic.setup import FLAVOURS, GENERATOR_VERSION
from three_hundred_maps.simulation.synthetic.universe import draw_halos
from tools.realism.check import (
    SELECTED_MSUN,
    Line,
    check_tables,
    flatness,
    run_surveys,
)
from tools.realism.gallery import draw_gallery, draw_relations
from tools.realism.hollows import (
    HOLLOW_REGIONS,
    HOLLOW_RISE,
    HOLLOW_SEED,
    MASS_EDGES,
    hollow_shares,
)
from tools.realism.knowledge import KNOWLEDGE_SEED, PLAUSIBLE, standing_out
from tools.realism.survey import MEASURED

PHYSICS = (
    "setup", "profiles", "kernels", "universe", "fields", "satellites", "calibration", "dark_matter", "stars",
    "gas_profiles", "gas_parts", "gas", "catalogue", "region",
)  # fmt: skip
"""Modules that decide what a seed gives: the page is stale once one of them changes."""
FULL_SET = 5041
PLANNED = 2000
"""Regions whose plans are counted."""
SPEED_SEED, SPEED_REGIONS, LARGEST_OF = 99001, 12, 400


def physics_digest() -> str:
    """Digest of the generator's code without comments, docstrings and layout."""
    folder = Path(synthetic.__file__).parent
    parts = []
    for name in PHYSICS:
        tree = ast.parse((folder / f"{name}.py").read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            body = getattr(node, "body", None)
            if isinstance(body, list):
                node.body = [  # type: ignore[attr-defined]
                    item
                    for item in body
                    if not (
                        isinstance(item, ast.Expr)
                        and isinstance(item.value, ast.Constant)
                        and isinstance(item.value.value, str)
                    )
                ]
        parts.append(ast.dump(tree))
    return sha256_bytes("\n".join(parts).encode())[:16]


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


_MEASURE_LARGEST = """
import json, resource, sys, tempfile, time
from three_hundred_maps.simulation.synthetic.region import make_region, write_region
seed, region, flavour, resolution = json.loads(sys.argv[1])
make_region(seed, region, flavour, "light")
start = time.process_time()
with tempfile.TemporaryDirectory() as folder:
    data = make_region(seed, region, flavour, resolution)
    write_region(folder, data)
print(json.dumps({
    "cpu_s": time.process_time() - start,
    "gas": len(data.particles[0]["id"]),
    "dark_matter": len(data.particles[1]["id"]),
    "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
}))
"""


def measure_largest(regions: int = LARGEST_OF) -> dict[str, float]:
    """Time and memory of the most massive of ``regions`` regions at full resolution, in its own process."""
    region = max(
        range(1, regions + 1), key=lambda number: float(draw_halos(SPEED_SEED, number).M200c_msun.sum())
    )
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE_LARGEST, json.dumps([SPEED_SEED, region, "gizmo", "full"])],
        capture_output=True,
        text=True,
        check=True,
    )
    return {name: float(value) for name, value in json.loads(done.stdout).items()}


def make_report(
    page: Path,
    seed: int,
    regions: int,
    workers: int = 1,
    progress: Callable[[int], None] | None = None,
) -> list[Line]:
    """Measure everything afresh and write ``page`` with its figures and numbers in a folder beside it."""
    folder = page.parent / page.stem
    folder.mkdir(parents=True, exist_ok=True)
    tables = run_surveys(seed, regions, workers, progress)
    lines = check_tables(tables)
    values: dict[str, Any] = {
        "digest": physics_digest(),
        "version": GENERATOR_VERSION,
        "seed": seed,
        "regions": regions,
        "lines": [{**asdict(line), "ok": line.ok} for line in lines],
        **count_plans(seed),
        "knowledge_seed": KNOWLEDGE_SEED,
        "knowledge": {flavour: standing_out(flavour) for flavour in FLAVOURS},
        "hollows": {flavour: hollow_shares(flavour) for flavour in FLAVOURS},
        "speed": {
            "light": measure_speed("light", SPEED_REGIONS),
            "full": measure_speed("full", max(SPEED_REGIONS // 2, 1)),
            "largest": measure_largest(),
        },
    }
    draw_relations(tables, folder / "relations.png")
    for flavour in FLAVOURS:
        draw_gallery(flavour, folder / f"gallery-{flavour}.png")
    (folder / "values.json").write_text(json.dumps(values, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    page.write_text(render_page(values, page.stem), encoding="utf-8")
    return lines


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
    masses = draw_halos(seed, region).M200c_msun
    rows = np.full((len(masses), len(MEASURED)), np.nan)
    rows[:, MEASURED.index("M_intended")] = masses
    return rows


def render_page(values: dict[str, Any], stem: str = "synthetic") -> str:
    """The page from its numbers: the same numbers give the same page."""
    missed = [line for line in values["lines"] if not line["ok"]]
    light, full = values["speed"]["light"], values["speed"]["full"]
    largest = values["speed"]["largest"]
    needed = int(np.ceil(FULL_SET / values["clusters_per_region"] / 50.0) * 50)
    text = [_INTRODUCTION]
    text.append(
        f"Generator version {values['version']}, physics `{values['digest']}`; base seed {values['seed']}, "
        f"{values['regions']} regions in each flavour, none of which was used for tuning. Written by\n\n"
        "    three-hundred-maps simulate --check --report docs/synthetic.md\n\n"
        f"{len(values['lines']) - len(missed)} of {len(values['lines'])} lines are in range."
    )
    text.append(
        "## Gallery\n\nSixteen clusters and eight groups (10^13.5-10^13.9 Msun/h) of each flavour, the same "
        "ones, from left to right in falling mass; rows: SZ, X-rays, stars, total mass (logarithmic, each "
        "map on its own scale).\n\n"
        f"![gadgetx]({stem}/gallery-gadgetx.png)\n\n![gizmo]({stem}/gallery-gizmo.png)"
    )
    text.append(f"## Relations\n\n![relations]({stem}/relations.png)")
    rows = [
        "| quantity | flavour | value | from | to | halos | |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for line in values["lines"]:
        mark = "" if line["ok"] else "**out of range**"
        rows.append(
            f"| {line['quantity']} | {line['flavour']} | {line['value']:.4g} | {line['low']:.4g} | "
            f"{line['high']:.4g} | {line['number']} | {mark} |"
        )
    text.append("## Calibration\n\n" + "\n".join(rows))
    rows = ["| view | gadgetx | gizmo | plausible |", "| --- | --- | --- | --- |"]
    for view, (low, high) in PLAUSIBLE.items():
        shares = [values["knowledge"][flavour][view][0] for flavour in FLAVOURS]
        rows.append(f"| {view} | {shares[0]:.0%} | {shares[1]:.0%} | {low:.0%}-{high:.0%} |")
    number = values["knowledge"]["gadgetx"]["star"][1]
    text.append(
        "## What each view knows of substructure\n\n"
        "The share of projected subhaloes (m/M > 5e-3, 0.15-0.92 R200c from the centre) that stand out above "
        "3 sigma: mean in an aperture of 0.05 R200c against the scatter of such apertures around the ring. "
        f"{number} projections, seed {values['knowledge_seed']}; reported, never tuned on.\n\n"
        + "\n".join(rows)
        + "\n\nWhat a ridge regression and a U-Net make of each view on held-out regions, and at which "
        "scales, is in [the results](results.md)."
    )
    text.append(_shortcomings(values))
    bins = ", ".join(str(count) for count in values["bins"])
    text.append(
        "## Sample and speed\n\n"
        f"A region of `gadgetx` holds {values['selected_per_region']:.2f} clusters of 10^13.5-10^15 Msun/h "
        "on average, "
        f"nearly flat in log mass (0.1 dex bins of 2,000 regions: {bins}; fullest over median "
        f"{values['fullest_over_median']:.2f}), and {values['clusters_per_region']:.2f} with those above, so "
        f"{FULL_SET:,} clusters take about {needed:,} regions.\n\n"
        f"All CPU of `simulate`, files and catalogue included, over the selected clusters: "
        f"{light['cpu_s_per_cluster']:.2f} s at the light resolution, "
        f"{full['cpu_s_per_cluster']:.2f} s at the full one. The largest snapshot met had "
        f"{light['largest_snapshot_mib']:.0f} MiB (light) and "
        f"{full['largest_snapshot_mib']:.0f} MiB (full); a build deletes each once its shards are done. "
        f"The most massive of {LARGEST_OF} regions at "
        f"the full resolution, {largest['gas'] / 1e6:.1f}e6 gas and {largest['dark_matter'] / 1e6:.1f}e6 "
        f"dark-matter particles, takes {largest['cpu_s']:.1f} CPU s and {largest['peak_mib']:.0f} MiB."
    )
    return "\n\n".join(text) + "\n"


def _shortcomings(values: dict[str, Any]) -> str:
    """What was once wrong with the generator's clusters, measured, and what is known to be simple in it."""
    rows = ["| log10 M200c (Msun/h) | gadgetx | gizmo |", "| --- | --- | --- |"]
    for k, (low, high) in enumerate(zip(MASS_EDGES[:-1], MASS_EDGES[1:], strict=True)):
        cells = ["{} of {}".format(*values["hollows"][flavour][k]) for flavour in FLAVOURS]
        rows.append(f"| {low}-{high} | {' | '.join(cells)} |")
    return (
        "## Hollow halos\n\n"
        "Clusters whose gas density, in shells of 0.1-1.5 R200c, rises outwards by more than a factor of "
        f"{HOLLOW_RISE} (seed {HOLLOW_SEED}, {HOLLOW_REGIONS} regions); a smooth halo's gas never does, that "
        "around a halo with a second core or a filament may:\n\n" + "\n".join(rows) + "\n\n"
        "## Known shortcomings\n\n"
        "Bow shocks and sloshing spirals are analytic forms laid over hydrostatic gas; there is no "
        "hydrodynamics, and nothing evolves: one snapshot, z = 0. Winds are random flags and black holes a "
        "fixed share of their galaxy's stars. Satellites accreted before z = 1.5 have mixed with the smooth "
        "halo. AHF columns that nothing here reads (energies, surface pressure, the moments of gas and stars "
        "alone) are 0. A Gadget binary header has no room for names: there the mark `Synthetic` is kept, "
        "region and flavour are in the files' names."
    )


_INTRODUCTION = """# The synthetic simulation

Most users meet this data set through the embedded simulation: seeded regions of galaxy clusters, written
as The Three Hundred's own files and read by the same readers. It is particles, not painted images, and
**not a simulation of structure formation**: halos are assembled from published relations. Every file and
every store says so (`Synthetic = 1`, `synthetic: true`).

A region holds a central cluster, clusters and groups around it, filaments, a thin background out to 15
Mpc/h and low-resolution particles (types 2 and 3) beyond. Each halo starts from one latent dynamical
state, which drives its concentration, substructure, lopsidedness, mergers, turbulence and core.

- **Dark matter**: NFW halos that steepen at the splashback radius, triaxial with radius, lopsided and
  irregular; satellites accreted along the host's history on orbits with dynamical friction and tidal
  stripping, whose stripped particles are followed to today and make streams and shells. Directions alone
  are drawn from the shapes, so the spherical mass is closed: M200c is the intended one.
- **Gas**: hydrostatic balance in the total mass less non-thermal support; cool cores and not; log-normal
  clumping, sloshing spirals, bow shocks ahead of fast massive satellites, whose gas trails behind them.
  Densities written are the analytic ones with all fluctuations. Each flavour's gas fraction follows The
  Three Hundred's own relation.
- **Stars**: satellites by the stellar-to-halo relation at accretion, their debris in streams, the
  brightest galaxy and the intracluster light, closed on the flavour's stellar fraction; black holes in
  galaxies.
- **Two flavours of one universe**: `gadgetx` and `gizmo` share types 1-3 byte for byte, so they are paired
  halo by halo. Feedback drives gas out of R500c, of a group out of R200c too: M200c of `gadgetx` is what a
  region is planned with, M200c of `gizmo` follows from what its baryons leave, up to a tenth less in
  groups."""
