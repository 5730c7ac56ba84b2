"""The plan: which halo goes into which row of which shard, before a particle is read."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from three_hundred_maps._version import __version__
from three_hundred_maps.builder.recipe import Recipe, recipe_text
from three_hundred_maps.builder.selection import CUTOUT_KEYS, Candidate, LeftOut, Place, thin
from three_hundred_maps.builder.sources import Sources
from three_hundred_maps.builder.survey import share_out, survey
from three_hundred_maps.errors import InputError
from three_hundred_maps.io import canonical_json, sha256_bytes
from three_hundred_maps.mapping import HaloGrid, View, cutout_radius, get_view, lines_of_sight
from three_hundred_maps.mapping.views import needed_fields, xray_luminosity, xray_soft_luminosity
from three_hundred_maps.simulation.readers.snapshot_files import first_path
from three_hundred_maps.simulation.readers.source import SnapshotInfo
from three_hundred_maps.simulation.region import WHOLE_PARTICLES
from three_hundred_maps.store import schema
from three_hundred_maps.store.layout import Layout
from three_hundred_maps.store.notes import EMPTY_TRAIN, by_kind

COMPRESSION = 1.5
"""How much smaller a map is on disk: measured, and used for estimates alone."""
SECONDS_PER_HALO_LOS = 0.02
SECONDS_PER_REGION = 1.0
SECONDS_PER_PARTICLE = 2e-7
"""Rough costs on one core, for the estimate of `Plan.seconds`; a synthetic region is made in the first."""
PARTICLE_BYTES, GAS_BYTES, VELOCITY_BYTES = 20, 32, 12
"""What a region holds for each particle, its index included, for each of gas beside that, and for the
velocity where a view needs it."""
SYNTHETIC_BYTES = {"light": 0.5e9, "full": 0.7e9, "coarse": 0.5e9}
"""Of the most massive synthetic region while it is made: measured, the program itself not counted."""
SHOWN = 20
"""Halos of a list that are named one by one."""
PROGRAM_BYTES = 0.2e9
"""Interpreter, libraries and compiled kernels."""


@dataclass(frozen=True)
class Plan:
    """What a build will do.

    Parameters
    ----------
    recipe
        Validated.
    rows
        By split, the halos in the order of the store's rows.
    left_out
        Halos above the mass limit that are not mapped, with reasons.
    layout
        Of the store.
    particles
        By (simulation's number, source, snapshot), how many particles there are, and how many of gas; nothing
        where they are synthetic.
    expected
        Halos of ``rows`` that will most likely be excluded when their particles are read, with reasons.
    """

    recipe: Recipe
    rows: Mapping[str, tuple[Candidate, ...]]
    left_out: tuple[LeftOut, ...]
    layout: Layout
    particles: Mapping[tuple[int, int, int], tuple[int, int]] = field(default_factory=dict)
    expected: tuple[LeftOut, ...] = ()

    @property
    def warnings(self) -> list[str]:
        """What is remarkable before a particle is read; part of the store's attributes."""
        return list(self.layout.attrs.get("warnings", ()))

    @property
    def halos(self) -> int:
        """Number of halos planned."""
        return sum(len(rows) for rows in self.rows.values())

    def shard_rows(self, split: str, shard: int) -> tuple[Candidate, ...]:
        """The halos of one shard."""
        size = self.layout.shard_halos
        return self.rows[split][shard * size : (shard + 1) * size]

    def digest(self) -> str:
        """Digest of the halos in their order: their keys, and what the catalogue says of them."""

        def said(c: Candidate) -> list[int | str]:
            values = (*c.centre_kpc, c.M200c_msun, c.R200c_kpc)
            # Not to the last bit, which may be another processor's.
            return [*c.key, *(f"{value:.6g}" for value in values)]

        return sha256_bytes(
            canonical_json({split: [said(c) for c in rows] for split, rows in self.rows.items()})
        )

    def map_bytes(self) -> int:
        """Size of all maps in memory."""
        per_map = 4 * self.layout.n_los * self.layout.grid.pixels**2
        return sum(len(self.layout.map_variables(s)) * len(self.rows[s]) * per_map for s in schema.SPLITS)

    def files(self) -> int:
        """Number of files of the finished store, near enough."""
        shards = sum(len(self.layout.map_variables(s)) * self.layout.shards(s) for s in schema.SPLITS)
        variables = len(schema.HALO_VARIABLES) + 2 * len(self.layout.maps) + len(self.layout.axes())
        return shards + 3 * 2 * variables + 30

    def shard_bytes(self) -> float:
        """Memory for the maps of one shard, and their encoding."""
        largest = min(self.layout.shard_halos, max(self.layout.splits.values()))
        per_view = 4 * largest * self.layout.n_los * self.layout.grid.pixels**2
        return float(per_view * (len(self.layout.maps) + 3))

    def region_bytes(self) -> float:
        """Memory for the particles of the largest region: those held, and as many again of a cut-out."""
        if not self.particles:
            return SYNTHETIC_BYTES[self.recipe.simulation.resolution]
        moving = "velocity" in needed_fields(get_view(name) for name in self.recipe.maps.views)
        each = PARTICLE_BYTES + VELOCITY_BYTES * moving
        whole = max(each * n + GAS_BYTES * gas for n, gas in self.particles.values())
        # Larger snapshots are read by ranges.
        return 2.0 * min(whole, (each + GAS_BYTES) * WHOLE_PARTICLES)

    def worker_bytes(self) -> float:
        """Memory that a worker needs at most, near enough."""
        return PROGRAM_BYTES + self.region_bytes() + self.shard_bytes()

    def seconds(self, workers: int) -> float:
        """A rough estimate of the time it takes."""
        places = {(c.member, *c.place) for rows in self.rows.values() for c in rows}
        read = sum(min(self.particles[p][0], WHOLE_PARTICLES) for p in places if p in self.particles)
        los = self.layout.n_los * len(self.layout.maps) / 4.0
        regions = len(places) * SECONDS_PER_REGION + read * SECONDS_PER_PARTICLE
        return (regions + self.halos * los * SECONDS_PER_HALO_LOS) / max(workers, 1)


def make_plan(sources: Sources) -> Plan:
    """Read headers and catalogues, select halos, and lay out the store.

    Raises
    ------
    InputError
        Where a file is missing or of another simulation, a view is unknown, or no halo is selected.
    """
    recipe = sources.recipe
    views = tuple(get_view(name) for name in recipe.maps.views)
    surveys = survey(sources, views)
    if not any(found.candidates for found in surveys):
        raise InputError(
            f"no halo of {recipe.name} passes the selection: the most massive has"
            f" {max(found.most for found in surveys):.3g} Msun/h,"
            f" selection.min_mass is {recipe.selection.min_mass:.3g}"
        )
    split_of = share_out(surveys, recipe)
    chosen: list[Candidate] = []
    left: list[LeftOut] = []
    warnings: list[str] = []
    expected: list[LeftOut] = []
    for found in surveys:
        kept, thinned = thin(found.candidates, recipe.selection, found.h)
        chosen += kept
        left += [*found.left, *thinned]
        expected += expected_exclusions(
            sorted(kept, key=lambda c: c.key), found.infos, found.dark_msun, found.sources.recipe
        )
        said = view_warnings(views, found.infos, found.sources.recipe)
        if not found.candidates:
            said.append("no halo passes the selection")
        warnings += [f"{found.name}: {text}" for text in said] if recipe.simulation.sources else said
    rows = {
        split: tuple(
            sorted(
                (c for c in chosen if split_of[c.region] == split),
                key=lambda c: (surveys[c.member].name, *c.key),
            )
        )
        for split in schema.SPLITS
    }
    if not rows["train"]:
        warnings.append(EMPTY_TRAIN)
    layout = make_layout(sources, views, {split: len(rows[split]) for split in schema.SPLITS}, warnings)
    ordered = sorted(left, key=lambda item: (item.region, item.snapshot, item.halo_id))
    particles = {
        (number, *place): (sum(i.counts.values()), i.counts.get("gas", 0))
        for number, found in enumerate(surveys)
        for place, i in found.infos.items()
    }
    return Plan(recipe, rows, tuple(ordered), layout, particles, tuple(expected))


def view_warnings(views: Sequence[View], infos: Mapping[Place, SnapshotInfo], recipe: Recipe) -> list[str]:
    """Which views lack what they are made of, from the snapshots' headers."""
    warnings = []

    def where(lacking: list[Place]) -> str:
        regions = {source for source, _ in infos}
        of = len({source for source, _ in lacking})
        return "the snapshot" if len(infos) == 1 else f"the snapshots of {of} of {len(regions)} regions"

    for view in views:
        lacking = [k for k, info in infos.items() if not any(info.counts.get(s, 0) for s in view.species)]
        if lacking:
            names = " or ".join(view.species).replace("_", " ")
            warnings.append(f"view {view.name}: no {names} in {where(lacking)}: these maps are 0")
        lacking = [k for k, info in infos.items() if "metallicity" in info.assumptions and k not in lacking]
        of_metals = (
            view.contribution in (xray_luminosity, xray_soft_luminosity)
            and recipe.simulation.emissivity != "bremsstrahlung"
        )
        if of_metals and lacking:
            warnings.append(
                f"view {view.name}: no metallicity in {where(lacking)}: the emission of metals is left out"
            )
    of_gas = ", ".join(view.name for view in views if view.species == ("gas",))
    # A moving mesh has no smoothing lengths: that of a cell is no replacement.
    for column, meshes in (("smoothing_length", False), ("density", True)):
        lacking = [
            k for k, i in infos.items() if column in i.assumptions and (meshes or i.dialect != "arepo")
        ]
        if of_gas and lacking:
            taken = infos[lacking[0]].assumptions[column].removeprefix("not in the files: ")
            warnings.append(
                f"views {of_gas}: no {column.replace('_', ' ')} of gas in {where(lacking)}: "
                f"it is taken {taken}, which changes X-rays most"
            )
    return warnings


def expected_exclusions(
    candidates: Sequence[Candidate],
    infos: Mapping[Place, SnapshotInfo],
    dark_msun: Mapping[Place, float],
    recipe: Recipe,
) -> list[LeftOut]:
    """Halos whose dark-matter particles must be too few, by the catalogue's mass, or that fill their box."""
    expected = []
    for c in candidates:
        if c.place not in infos:
            continue
        info, particle, least = infos[c.place], dark_msun[c.place], recipe.selection.min_particles
        background = info.cosmology
        with_gas = info.counts.get("gas", 0) > 0 and math.isfinite(background.omega_b)
        dark = c.M200c_msun * (1.0 - background.omega_b / background.omega_m if with_gas else 1.0)
        radius = cutout_radius(HaloGrid(c.R200c_kpc, recipe.maps.grid()))
        if particle > 0 and dark / particle < least:
            reason = f"too few dark-matter particles inside R200c: about {dark / particle:.0f}, below {least}"
            expected.append(LeftOut(*c.key, f"{reason} (selection.min_particles)"))
        elif 0 < info.box_kpc <= 2.0 * radius:
            expected.append(
                LeftOut(
                    *c.key, f"a cut-out of radius {radius:.0f} kpc does not fit into the box ({CUTOUT_KEYS})"
                )
            )
    return expected


def make_layout(
    sources: Sources, views: Sequence[View], splits: Mapping[str, int], warnings: Sequence[str]
) -> Layout:
    """The store's layout and root attributes."""
    recipe = sources.recipe
    given = recipe.maps.lines_of_sight
    vectors, up_vectors = lines_of_sight(given if isinstance(given, int) else np.array(given))
    simulation, synthetic = sources.describe()
    signed = [view.name for view in views if view.signed]
    attrs = {
        "name": recipe.name,
        "description": recipe.description,
        "synthetic": synthetic,
        "recipe": recipe.canonical(),
        "recipe_sha256": recipe.sha256(),
        "package_version": __version__,
        "license": recipe.license,
        "attribution": recipe.attribution,
        "citation": recipe.citation,
        "simulation": simulation,
        **({"view_attrs": {name: {"signed": True} for name in signed}} if signed else {}),
        **({"warnings": list(warnings)} if warnings else {}),
    }
    return Layout(
        maps=tuple(schema.map_variable(v.name, v.units, v.long_name) for v in views),
        splits=splits,
        vectors=vectors,
        ups=up_vectors,
        grid=recipe.maps.grid(),
        shard_halos=recipe.store.shard_halos,
        attrs=attrs,
    )


def describe_plan(plan: Plan, workers: int = 1) -> str:
    """The plan as a person reads it."""
    layout, grid = plan.layout, plan.layout.grid
    size = plan.map_bytes()
    lines = [
        f"{plan.recipe.name}: {plan.halos} halos x {layout.n_los} lines of sight x {len(layout.maps)} views"
        f" ({', '.join(layout.views)}), {grid.pixels} x {grid.pixels} pixels over {grid.width:g} R200c",
        f"{'split':<12}{'regions':>9}{'halos':>8}{'shards':>8}   log10 M200c (Msun)",
    ]
    for split in schema.SPLITS:
        rows = plan.rows[split]
        masses = [math.log10(c.M200c_msun) for c in rows]
        span = f"{min(masses):.2f} to {max(masses):.2f}" if masses else "-"
        lines.append(
            f"{split:<12}{len({c.region for c in rows}):>9}{len(rows):>8}{layout.shards(split):>8}   {span}"
        )
    lines += [
        f"maps: {size / 1e9:.3g} GB in memory, about {size / COMPRESSION / 1e9:.3g} GB on disk in"
        f" about {plan.files()} files",
        f"memory: up to {plan.worker_bytes() / 1e9:.2g} GB a worker"
        f" ({plan.region_bytes() / 1e9:.2g} for the largest region, {plan.shard_bytes() / 1e9:.2g} for maps),"
        f" {workers * plan.worker_bytes() / 1e9:.2g} GB with {workers}",
        f"time: roughly {_duration(plan.seconds(workers))} with {workers} worker{'s' * (workers != 1)}",
        *_listed("left out by the catalogue, of the halos above selection.min_mass", plan.left_out),
        *_listed(
            "of the halos planned, expected to be excluded when their particles are read", plan.expected
        ),
    ]
    if plan.particles:
        limit, least = plan.recipe.selection.max_low_resolution_fraction, plan.recipe.selection.min_particles
        lines += [
            "only the particles tell whether a halo is excluded (the key in brackets lifts it) because",
            "  there is none at the catalogue's centre",
            f"  its cut-out leaves the region ({CUTOUT_KEYS})",
            f"  low-resolution particles hold over {limit:g} of it (selection.max_low_resolution_fraction)",
            f"  it has below {least} dark-matter particles inside R200c (selection.min_particles)",
        ]
    return "\n".join([*lines, *(f"warning: {warning}" for warning in plan.warnings)])


def _listed(title: str, items: Sequence[LeftOut]) -> list[str]:
    """How many halos there are of each kind of reason, and the first of them."""
    kinds = by_kind([item.reason for item in items])
    lines = [f"{title}: {len(items)}"]
    lines += [f"  {count:>6}  {'as ' * (count > 1)}{reason}" for count, reason in kinds]
    lines += [f"  region {i.region} halo {i.halo_id}: {i.reason}" for i in items[:SHOWN]]
    return lines + [f"  ... and {len(items) - SHOWN} more"] * (len(items) > SHOWN)


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def sources_for(recipe: Recipe, recipe_path: str | Path, root: str | Path | None) -> Sources:
    """The sources of a recipe: paths are relative to ``root``, else to the recipe's folder."""
    folder = None if root is None else Path(root)
    if folder is not None and not folder.is_dir():
        raise InputError(f"--root {folder}: there is no such folder")
    beside = recipe_text(recipe_path)[1]
    sources = Sources(recipe, (folder or beside or Path.cwd()).absolute())
    if folder is None and beside is None and not sources.synthetic:
        member = sources.members()[0]
        first = first_path(member.snapshot_path(member.places()[0])).parent
        if not first.is_dir():
            raise InputError(
                f"{recipe.name} is made from the simulation's own files, and there is no {first}:"
                " say where they lie with --root DIR"
            )
    return sources
