"""`simulate --check --report`: docs/synthetic.md with its table, figures and gallery, from fresh seeds."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.display import markdown_table
from three_hundred_maps.errors import InputError
from three_hundred_maps.simulation.synthetic.region import make_region, simulate_region
from three_hundred_maps.simulation.synthetic.setup import FLAVOURS, GENERATOR_VERSION
from three_hundred_maps.simulation.synthetic.universe import draw_halos
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
            for kind, fields in make_region(CHECK_SEED, 1, flavour, "light").particles.items()
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
        "lines": [{**asdict(line), "ok": line.ok} for line in lines],
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
    masses = draw_halos(seed, region).M200c_msun
    rows = np.full((len(masses), len(MEASURED)), np.nan)
    rows[:, MEASURED.index("M_intended")] = masses
    return rows


_SHIFTS = """\
## Other redshifts, physics and resolutions

What a model learns here should hold elsewhere; these recipes say whether it does. All have the \
regions and
the splits of `mini`, so a region that one trains on is never tested on in another.

| recipe | what differs |
| --- | --- |
| `mini-gizmo` | the other code's gas and stars |
| `mini-strong` | flavour `simba-strong`: groups have 30 % less gas than in `gizmo`, cores are \
wider; to test on, never to train on |
| `mini-hypercube` | flavour `hypercube`: five strengths of feedback, drawn for each region from a \
Latin hypercube that holds all three (`feedback_ejection`, `_reach`, `_core`, `_turbulence`, \
`_stars` in the store) |
| `mini-coarse` | the same clusters; dark matter and stars in particles of eight times the mass |
| any, with `--set simulation.redshifts=[0,0.5,1]` | one snapshot each of a region's progenitors |

At a redshift above 0 a region holds the progenitors of its halos at the same comoving places: masses by
Wechsler et al. (2002), concentrations by Ishiyama et al. (2021), R200c in the critical density of \
that time,
gas self-similar with the flavour's fractions at fixed mass, more disturbed halos. Orbits start anew\
 in each
snapshot: a satellite is not followed from one to the next.

Star particles are born with 4e7 Msun/h (twice that in the light resolution) with a scatter of 15 %,\
 and lose
mass with age as a Chabrier population does (Leitner & Kravtsov 2011). The brightest galaxy is \
compact, the
diffuse light falls as r^-2.6, half of it in streams; it scatters by a factor of two at fixed mass."""


def render_page(values: dict[str, Any], stem: str = "synthetic") -> str:
    """The page from its numbers: the same numbers give the same page."""
    missed = [line for line in values["lines"] if not line["ok"]]
    light, full = values["speed"]["light"], values["speed"]["full"]
    largest = values["speed"]["largest"]
    needed = int(np.ceil(FULL_SET / values["clusters_per_region"] / 50.0) * 50)
    text = [_INTRODUCTION]
    text.append(
        f"Generator version {values['version']}, base seed {values['seed']}, "
        f"{values['regions']} regions in each flavour, a seed on which nothing was tuned. Written by\n\n"
        f"    three-hundred-maps simulate --check --regions {values['regions']} "
        "--report docs/synthetic.md\n\n"
        f"{len(values['lines']) - len(missed)} of {len(values['lines'])} lines are in range. Most of these "
        "lines test inputs: gas and stellar fractions, concentrations and substructure are drawn from the "
        "relations they are compared with. Whether a map looks like a real one is a question of its texture."
    )
    text.append(_texture(values, stem))
    text.append(_SHIFTS)
    text.append(
        "## Gallery\n\nSixteen clusters and eight groups (10^13.5-10^13.9 Msun/h) of each flavour, the same "
        "ones, from left to right in falling mass; rows: SZ, X-rays, stars, total mass (logarithmic, each "
        "map on its own scale).\n\n"
        f"![gadgetx]({stem}/gallery-gadgetx.png)\n\n![gizmo]({stem}/gallery-gizmo.png)"
    )
    text.append(f"## Relations\n\n![relations]({stem}/relations.png)")
    rows = [
        (
            *(row["quantity"], row["flavour"], *(f"{row[name]:.4g}" for name in ("value", "low", "high"))),
            *(row["number"], "" if row["ok"] else "**out of range**"),
        )
        for row in values["lines"]
    ]
    heads = ("quantity", "flavour", "value", "from", "to", "halos", "")
    text.append("## Calibration\n\n" + markdown_table(heads, rows))
    rows = []
    for view, (low, high) in PLAUSIBLE.items():
        shares = (values["detected"][flavour][view][0] for flavour in FLAVOURS)
        rows.append((view, *(f"{share:.0%}" for share in shares), f"{low:.0%}-{high:.0%}"))
    number = values["detected"]["gadgetx"]["star"][1]
    text.append(
        "## Substructure in each view\n\n"
        "The share of projected subhaloes (m/M > 5e-3, 0.15-0.92 R200c from the centre) that are detected "
        "above 3 sigma: mean in an aperture of 0.05 R200c against the scatter of such apertures around the "
        "ring. "
        f"{number} projections, seed {values['substructure_seed']}; reported, never tuned on.\n\n"
        + markdown_table(("view", *FLAVOURS, "plausible"), rows)
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


def _texture(values: dict[str, Any], stem: str) -> str:
    """The maps' statistics beside those of a real simulation."""
    text = (
        "## Maps beside a real simulation's\n\n"
        f"Medians over the halos of {LOW_MSUN:.0e}-{HIGH_MSUN:.0e} Msun of each store (their number in "
        "brackets). Power and correlation are those of the logarithm of a view less its mean in rings, in "
        "bands of cycles per R200c. The aims are what simulations with and without black holes' feedback "
        "span; what lies outside them is in italics. Written by\n\n"
        f"    python -m tools.realism texture STORE... --page docs/{stem}.md\n\n"
    )
    kept = values.get("texture")
    if not kept:
        return text + "No store has been measured yet."
    missed = {
        name: [aim.words for figure, aim in AIMS.items() if not aim.low <= row[figure] <= aim.high]
        for name, row in kept.items()
    }
    said = "; ".join(f"{name}: {', '.join(words) or 'nothing'}" for name, words in missed.items())
    return (
        text
        + aims_table(kept)
        + f"\n\nOutside the aims - {said}.\n\n"
        + "Synthetic clusters (left) and those of a real zoom simulation (right), each over its mean inside "
        + "R200c, on one scale of colours a row (`python -m tools.realism beside`):\n\n"
        + f"![beside]({stem}/beside-real.png)\n\n"
        + "### Do inputs give the size of a halo away?\n\nA map of equal particles does: the least sum of "
        + "connected pixels is a particle's mass over R200c squared. The star view is spread over each "
        + "star's neighbours so that this fails. Ranks are taken within bins of 0.3 dex of M200c; "
        + "chance alone scatters their correlation by the number of halos (in brackets) to the power "
        + "-1/2.\n\n"
        + attack_table(values["attack"])
    )


def _shortcomings(values: dict[str, Any]) -> str:
    """What was once wrong with the generator's clusters, measured, and what is known to be simple in it."""
    rows = [
        (f"{low}-{high}", *("{} of {}".format(*values["cavities"][flavour][k]) for flavour in FLAVOURS))
        for k, (low, high) in enumerate(itertools.pairwise(MASS_EDGES))
    ]
    return (
        "## Central cavities\n\n"
        "Clusters whose gas density, in shells of 0.1-1.5 R200c, rises outwards by more than a factor of "
        f"{CAVITY_RISE} (seed {CAVITY_SEED}, {CAVITY_REGIONS} regions); a smooth halo's gas never does, that "
        "around a halo with a second core or a filament may:\n\n"
        + markdown_table(("log10 M200c (Msun/h)", *FLAVOURS), rows)
        + "\n\n"
        "## Known shortcomings\n\n"
        "The gas is hydrostatic with two random fields, bow shocks, sloshing spirals and an accretion shock "
        "laid over it as analytic forms. There is no hydrodynamics: fluctuations have the spectra and the "
        "strengths they are given, without the vortices and cold fronts that flows make, and their "
        "phases know nothing of a cluster's history beyond its satellites. Nothing evolves. Temperatures "
        "scatter by one factor a halo. The gas of a satellite of about a third of its host's mass or more "
        "ends at a sharp edge, which maps of such mergers show as a disc (1 of 36 clusters looked at). "
        "Winds are random flags and black holes a "
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
- **Gas**: hydrostatic balance in the total mass less non-thermal support; cool cores and not; two
  independent log-normal fields, one at constant entropy (sound, turbulence: seen in SZ and X-rays) and one
  at constant pressure (cold and stripped clumps: seen in X-rays alone); gas in the wells of satellites, in
  those that fall in for the first time, and trailing behind those that have passed; sloshing spirals, bow
  shocks, an accretion shock near 1.3-1.6 R200c. Densities written are the analytic ones with all
  fluctuations. Each flavour's gas fraction follows The Three Hundred's own relation.
- **Stars**: satellites by the stellar-to-halo relation at accretion, their debris in streams, the
  brightest galaxy and the intracluster light, closed on the flavour's stellar fraction; black holes in
  galaxies.
- **Two flavours of one universe**: `gadgetx` and `gizmo` share types 1-3 byte for byte, so they are paired
  halo by halo. Feedback drives gas out of R500c, of a group out of R200c too: M200c of `gadgetx` is what a
  region is planned with, M200c of `gizmo` follows from what its baryons leave, up to a tenth less in
  groups."""
