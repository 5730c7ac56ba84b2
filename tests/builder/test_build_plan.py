"""Selection, splits, plans and the identity of recipes: deterministic, nested, the same across flavours."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from three_hundred_maps.builder.plan import describe_plan, make_plan, sources_for
from three_hundred_maps.builder.recipe import (
    RECIPE_VERSION,
    Recipe,
    SelectionRecipe,
    load_recipe,
    recipe_text,
    shipped_recipes,
)
from three_hundred_maps.builder.run import build, shards_of_part
from three_hundred_maps.builder.selection import Candidate, mass_bin, neighbour_distance, overlapping, thin
from three_hundred_maps.errors import InputError
from three_hundred_maps.simulation.catalogues.halos import Halos
from three_hundred_maps.simulation.synthetic.feedback import STRENGTHS, hypercube
from three_hundred_maps.simulation.synthetic.setup import H
from three_hundred_maps.store import schema
from three_hundred_maps.store.arrays import read_split
from three_hundred_maps.store.derive import subset
from three_hundred_maps.store.splits import assign_splits, merge_groups, quotas
from three_hundred_maps.store.verify import verify
from three_hundred_maps.testing.small import small_snapshot


@given(
    scheme=st.sampled_from(["default", "paper", "small"]),
    regions=st.lists(st.integers(1, 10**12), min_size=1, max_size=120, unique=True),
    seed=st.integers(0, 5),
    pairs=st.lists(st.tuples(st.integers(0, 119), st.integers(0, 119)), max_size=12),
)
@settings(max_examples=80, deadline=None)
def test_splits_are_a_function_of_the_regions_alone(scheme, regions, seed, pairs):
    groups = merge_groups(regions, [(regions[a], regions[b]) for a, b in pairs if max(a, b) < len(regions)])
    split = assign_splits(scheme, seed, regions, groups)
    assert set(split) == set(regions) and set(split.values()) <= set(schema.SPLITS)
    assert split == assign_splits(scheme, seed, regions[::-1], groups)
    for region, group in groups.items():
        assert split[region] == split[group]
    assert "train" in split.values()
    if not pairs:
        validation, test = quotas(scheme, len(regions))
        counts = [list(split.values()).count(name) for name in ("validation", "test")]
        assert counts == [validation, test]


@pytest.mark.parametrize(
    ("scheme", "regions", "wanted"),
    [
        ("default", 324, (32, 32)),
        ("paper", 324, (0, 32)),
        ("small", 52, (8, 13)),
        ("small", 30, (4, 10)),
        ("small", 12, (2, 6)),
        ("default", 3, (1, 1)),
        ("default", 2, (0, 1)),
        ("default", 1, (0, 0)),
    ],
)
def test_quotas(scheme, regions, wanted):
    assert quotas(scheme, regions) == wanted


def candidates(n: int, seed: int = 0) -> list[Candidate]:
    generator = np.random.default_rng(seed)
    masses = 10 ** generator.uniform(13.5, 15.3, n)
    return [Candidate(i % 7, 128, i, i % 7, (0.0, 0.0, 0.0), float(m), 1000.0) for i, m in enumerate(masses)]


@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 200))
@settings(max_examples=40, deadline=None)
def test_smaller_selections_nest(few, many, halos):
    few, many = sorted((few, many))
    of = candidates(300)
    kept = {
        limit: {c.key for c in thin(of, SelectionRecipe(max_per_bin=limit), 1.0)[0]} for limit in (few, many)
    }
    assert kept[few] <= kept[many]
    total = {c.key for c in thin(of, SelectionRecipe(max_halos=halos), 1.0)[0]}
    assert len(total) == min(halos, 300)
    assert total <= {c.key for c in thin(of, SelectionRecipe(max_halos=halos + 5), 1.0)[0]}


def test_thinning_is_flat_in_log_mass_and_says_what_it_leaves():
    selection = SelectionRecipe(max_per_bin=5)
    kept, left = thin(candidates(400), selection, 1.0)
    counts = np.bincount([mass_bin(c.M200c_msun, selection) for c in kept])
    assert counts.max() == 5 and (counts[:17] == 5).sum() >= 15
    assert len(kept) + len(left) == 400 and all("holds 5 already" in item.reason for item in left)


@given(st.integers(0, 300), st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_parts_are_everything_and_nothing_twice(shards, parts):
    items = list(range(shards))
    assert list(itertools.chain(*(shards_of_part(items, (i, parts)) for i in range(1, parts + 1)))) == items


def test_overlaps_wrap_around_a_periodic_box():
    centres = np.array([[1.0, 5, 5], [99.0, 5, 5], [50.0, 5, 5]])
    assert list(overlapping(centres, np.full(3, 2.0), 100.0)) == [(0, 1)]
    assert list(overlapping(centres, np.full(3, 2.0), 0.0)) == []
    assert merge_groups([4, 9, 7, 1], [(9, 7), (7, 4)]) == {4: 4, 9: 4, 7: 4, 1: 1}


def test_distance_to_the_nearest_more_massive_host():
    centre = np.array([[0.0, 0, 0], [3000.0, 0, 0], [9900.0, 0, 0], [100.0, 0, 0]])
    halos = Halos(
        np.arange(4),
        np.array([-1, -1, -1, 0]),
        centre,
        np.array([1e14, 4e14, 2e14, 9e14]),
        np.array([1000.0, 1500.0, 1200.0, 2000.0]),
        np.ones(4),
        np.full(4, np.nan),
        np.full(4, np.nan),
    )
    np.testing.assert_allclose(neighbour_distance(halos, np.array([0, 1, 2]), 0.0), [2.0, np.inf, 4.6])
    np.testing.assert_allclose(neighbour_distance(halos, np.array([0]), 10_000.0), [100.0 / 1200.0])


@pytest.mark.parametrize("name", ["mini", pytest.param("synthetic-gadgetx", marks=pytest.mark.long)])
def test_shipped_synthetic_recipes_plan_as_many_clusters_as_they_say(name):
    plan = make_plan(sources_for(load_recipe(name), name, None))
    low, high = (64, 80) if name.startswith("mini") else (5041, 5041)
    assert low <= plan.halos <= high
    assert len({c.region for c in plan.rows["test"]}) >= 10
    assert plan.files() < 1000
    assert f"{plan.halos} halos" in describe_plan(plan, 2)


def test_a_seed_that_no_header_holds_is_an_error():
    assert load_recipe("mini", overrides=(f"simulation.seed={2**64 - 1}",)).simulation.seed == 2**64 - 1
    with pytest.raises(InputError, match=r"simulation\.seed.*less than"):
        load_recipe("mini", overrides=(f"simulation.seed={2**64}",))


def test_twins_have_the_same_regions_in_the_same_splits():
    """And the same halos, but for those that gas loss has brought below the mass limit."""
    plans = [make_plan(sources_for(load_recipe(n), n, None)) for n in ("mini", "mini-gizmo")]
    limit = load_recipe("mini").selection.min_mass / H
    for split in plans[0].rows:
        first, second = ({c.key: c for c in plan.rows[split]} for plan in plans)
        assert second.keys() <= first.keys()
        assert {c.region for c in second.values()} == {c.region for c in first.values()}
        lost = first.keys() - second.keys()
        assert len(lost) < 0.1 * len(first)
        assert all(first[key].M200c_msun < 1.15 * limit for key in lost)


def test_no_test_region_of_one_shipped_recipe_is_trained_on_in_another():
    """Recipes of one seed share their regions' dark matter: a region is in one split everywhere."""
    split_of: dict[tuple[int, int], str] = {}
    for name in shipped_recipes():
        recipe = load_recipe(name)
        if recipe.simulation.kind != "synthetic":
            continue
        regions = recipe.simulation.region_list()
        for region, split in assign_splits(recipe.splits.scheme, recipe.splits.seed, regions).items():
            assert split_of.setdefault((recipe.simulation.seed, region), split) == split, (name, region)
    assert len(split_of) > 3900


def test_snapshots_of_a_region_stay_in_one_split(synthetic):
    path = synthetic(regions="1-20")
    one = make_plan(sources_for(load_recipe(path), path, None))
    recipe = load_recipe(path, overrides=("simulation.redshifts=[1, 0, 0.5]",))
    plan = make_plan(sources_for(recipe, path, None))
    keys = [c.key for rows in plan.rows.values() for c in rows]
    assert len(set(keys)) == len(keys)
    assert {key[1] for key in keys} == {128, 110, 97}
    assert {key for key in keys if key[1] == 128} == {c.key for rows in one.rows.values() for c in rows}
    splits: dict[int, set[str]] = {}
    for split, rows in plan.rows.items():
        for c in rows:
            splits.setdefault(c.region, set()).add(split)
    assert all(len(where) == 1 for where in splits.values())
    assert max(len({c.snapshot for c in rows}) for rows in plan.rows.values()) == 3


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("simulation.redshifts=[]", "at least one"),
        ("simulation.redshifts=[0, 2]", "from 0 to 1"),
        ("simulation.redshifts=[0.5, 0.501]", "too near"),
        ("simulation.number=[128]", "is of files"),
        ("simulation.regions=5-", "cannot read '5-'"),
    ],
)
def test_redshifts_and_regions_that_there_are_not_are_refused(override, words):
    with pytest.raises(InputError, match=words):
        load_recipe("mini", overrides=(override,))


@pytest.mark.parametrize(
    ("recipe", "override", "words"),
    [
        ("mini", "selection.max_halos=yes", "selection.max_halos: yes and no"),
        ("mini", "selection.min_masss=1e14", r"selection.min_masss \(near it is selection.min_mass\)"),
        ("mini", "gas.xray_max_share=0.1", r"unknown key gas \(near it is simulation.gas\)"),
        ("mini", "views=[sz]", r"unknown key views \(near it is maps.views\)"),
        ("mini", "maps={pixels: 8, pixels: 9}", "the key pixels is there twice"),
        ("mini", "simulation.regions=1:30", "cannot read '1:30'"),
        ("mini", "simulation.regions=1-2147483648", "below 2"),
        ("mini", "simulation.dialect=swift", "simulation.dialect: of files"),
        ("mini", "maps.lines_of_sight=999999999999", "maps.lines_of_sight: .* less than or equal to 4096"),
        ("mini", "maps.width=1e-30", "maps.width: .* greater than or equal to 0.01"),
        ("mini", "maps.smoothing_fwhm=2.1", "maps: smoothing_fwhm 2.1 is wider than the map, 2"),
        ("mini", "maps.lines_of_sight=[]", "maps.lines_of_sight: .* at least 1"),
        ("gadgetx", "simulation.redshifts=[0.5]", "simulation.redshifts: of the synthetic"),
        ("gadgetx", "simulation.region_by=halo", "simulation.regions: of region_by: region"),
        ("gadgetx", "simulation.number=-1", "simulation.number: .* greater than or equal to 0"),
        ("gadgetx", "simulation.catalogue.path=[]", "simulation.catalogue.path: .* at least 1"),
        ("gadgetx", "simulation.snapshot=''", "simulation.snapshot: .* at least 1"),
    ],
)
def test_what_a_recipe_would_pass_over_is_refused(recipe, override, words):
    with pytest.raises(InputError, match=words):
        load_recipe(recipe, overrides=(override,))


def test_whole_numbers_are_decimal():
    # In YAML 1.1, 010 is eight: the snapshot before.
    made = load_recipe("gadgetx", overrides=("simulation.number=010", "selection.max_halos=1_000"))
    assert made.simulation.number == 10
    assert made.selection.max_halos == 1000


def test_an_empty_section_has_its_defaults(tmp_path):
    (tmp_path / "mine.yaml").write_text(recipe_text("mini")[0] + "selection:\n  # max_halos: 3\n")
    found = load_recipe(tmp_path / "mine.yaml", overrides=("selection.max_halos=2",))
    assert found == load_recipe("mini", overrides=("selection.max_halos=2",))


@pytest.mark.parametrize("field", ["M200c_msun", "R200c_kpc"])
def test_a_catalogue_that_changed_between_two_parts_is_noticed(synthetic, field):
    path = synthetic()
    plan = make_plan(sources_for(load_recipe(path), path, None))

    def scaled(factor):
        rows = {
            split: tuple(replace(c, **{field: factor * getattr(c, field)}) for c in cs)
            for split, cs in plan.rows.items()
        }
        return replace(plan, rows=rows).digest()

    assert scaled(1.001) != plan.digest()
    assert scaled(1.0 + 1e-15) == plan.digest()  # the last bit is a processor's


@pytest.mark.parametrize("pattern", ["'{region.x}'", "'{region[0]}'", "'{snapshot:zz}'"])
def test_a_pattern_that_cannot_be_filled_is_one_line(pattern, tmp_path):
    recipe = load_recipe("gadgetx", overrides=(f"simulation.snapshot={pattern}",))
    with pytest.raises(InputError, match="simulation.snapshot: .* nothing else"):
        make_plan(sources_for(recipe, "gadgetx", tmp_path))


def test_several_snapshots_of_files_need_regions(tmp_path):
    assert load_recipe("gadgetx", overrides=("simulation.number=[110, 128]",)).simulation.numbers() == (
        110,
        128,
    )
    with pytest.raises(InputError, match="each once"):
        load_recipe("gadgetx", overrides=("simulation.number=[128, 128]",))
    with pytest.raises(InputError, match="two splits"):
        load_recipe("gadgetx", overrides=("simulation.number=[1, 2]", "simulation.region_by=halo"))


def test_every_shipped_recipe_is_valid():
    for name in shipped_recipes():
        assert load_recipe(name).name == name
    with pytest.raises(InputError, match="no recipe 'no-such-recipe'"):
        load_recipe("no-such-recipe")


def test_a_shipped_real_recipe_asks_for_the_simulations_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"no .*NewMDCLUSTER_0001: say where they lie with --root DIR"):
        sources_for(load_recipe("gadgetx"), "gadgetx", None)


def test_memory_and_time_follow_the_particles(lcdm, synthetic):
    """Both are said before a particle is read: from the headers."""
    path = lcdm()
    plan = make_plan(sources_for(load_recipe(path), path, None))
    assert plan.particles == {(0, 0, 3): (65536, 32764)}
    assert plan.region_bytes() == 2 * (20 * 65536 + 32 * 32764)
    assert plan.worker_bytes() > plan.region_bytes() + plan.shard_bytes()
    said = describe_plan(plan, 3)
    assert f"{3 * plan.worker_bytes() / 1e9:.2g} GB with 3" in said and "time: roughly" in said
    path = synthetic()
    light = make_plan(sources_for(load_recipe(path), path, None))
    full = make_plan(sources_for(load_recipe(path, overrides=("simulation.resolution=full",)), path, None))
    assert light.particles == {} and full.region_bytes() > light.region_bytes() > 0


def test_real_recipes_say_where_their_files_should_be(tmp_path):
    with pytest.raises(InputError, match="NewMDCLUSTER_0001/snap_128"):
        make_plan(sources_for(load_recipe("gadgetx"), "gadgetx", tmp_path))


@pytest.mark.parametrize(("regions", "number"), [("1-2", "7"), ("1", "[7, 8]")])
def test_two_regions_are_not_of_the_same_files(tmp_path, regions, number):
    small = small_snapshot(tmp_path, particles=60)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        f"name: same\nsimulation:\n  kind: gadget\n  snapshot: {small.snapshot.name}\n"
        f"  catalogue: {{kind: ahf, path: {small.catalogue.name}}}\n  regions: {regions}\n"
        f"  number: {number}\nselection: {{min_mass: 1e13}}\n"
    )
    with pytest.raises(InputError, match=r"region 1, snapshot 7 and region \d, snapshot \d are both read"):
        make_plan(sources_for(load_recipe(recipe), recipe, None))
    one = load_recipe(recipe, overrides=("simulation.regions=1", "simulation.number=7"))
    assert make_plan(sources_for(one, recipe, None)).halos == 2


def test_region_centres_tie_overlapping_zooms(synthetic, tmp_path):
    recipe = synthetic(regions="1-20", region_centres="centres.csv")
    lines = ["region,x,y,z,radius,box"] + [f"{r},{100 * r},0,0,15,5000" for r in range(1, 20)]
    (tmp_path / "centres.csv").write_text("\n".join([*lines, "# centres in Mpc", "20,220,0,0,15,5000"]))
    plan = make_plan(sources_for(load_recipe(recipe), recipe, None))
    split_of = {c.region: split for split, rows in plan.rows.items() for c in rows}
    assert split_of[20] == split_of[2]
    for text, message in (
        ("\n".join(lines), "no centre for region 20"),
        ("region,x\n1,2\n", "columns region,x,y,z,radius"),
        ("region,x,y,z,radius\n1,0,0,0,-5\n", "positive radii"),
        ("\n".join([*lines, "20,220,0,0,15,500"]), "box must be the same"),
        ("region,x,y,z,radius,box\n1,0,0,0,5,-1\n", "no less than 0"),
    ):
        (tmp_path / "centres.csv").write_text(text)
        with pytest.raises(InputError, match=message):
            make_plan(sources_for(load_recipe(recipe), recipe, None))


def test_halos_of_one_box_whose_cut_outs_overlap_are_one_region(lcdm):
    recipe = lcdm()
    plan = make_plan(sources_for(load_recipe(recipe), recipe, None))
    everyone = [c for rows in plan.rows.values() for c in rows]
    regions = {c.region for c in everyone}
    assert plan.halos == 50 and len(regions) < 50
    reach = np.sqrt(6.0) * 1.03
    for a, b in itertools.combinations(everyone, 2):
        apart = np.abs(np.subtract(a.centre_kpc, b.centre_kpc))
        apart = np.minimum(apart, 50_000 / 0.7 - apart)
        if np.linalg.norm(apart) < np.sqrt(6.0) * (a.R200c_kpc + b.R200c_kpc):
            assert a.region == b.region
        if len(regions) == 50:
            assert np.linalg.norm(apart) > reach


def test_a_universe_names_the_regions(lcdm, synthetic, tmp_path):
    """Boxes of different universes share no region; two codes of one universe share all of them."""

    def regions(path, *overrides):
        recipe = load_recipe(path, overrides=overrides)
        sources = sources_for(recipe, path, None)
        rows = make_plan(sources).rows
        for c in (c for candidates in rows.values() for c in candidates):
            assert sources.source_of(c.region) == c.source
        return {c.halo_id: (c.region, split) for split in rows for c in rows[split]}

    for path in (lcdm(), synthetic(regions="1-12")):
        plain = regions(path)
        one, two = (regions(path, f"simulation.universe={name}") for name in ("one", "two"))
        assert plain.keys() == one.keys() == two.keys()
        assert not {region for region, _ in one.values()} & {region for region, _ in two.values()}
        assert regions(path, "simulation.universe=one", "simulation.id=other-code") == one
        assert (
            load_recipe(path).sha256() != load_recipe(path, overrides=("simulation.universe=one",)).sha256()
        )


def test_what_the_hypercube_draws_is_in_the_store(tmp_path):
    """The strengths of a region's feedback are variables of its halos, checked as the others are; no other
    store has them."""
    small = (
        "simulation.regions='22,29,44'", "selection.min_mass=5.0e13", "selection.max_halos=3",
        "simulation.seed=4", "maps.lines_of_sight=1", "maps.pixels=16", "selection.min_particles=100",
    )  # fmt: skip
    store = build("mini-hypercube", tmp_path / "h", overrides=small, quiet=True)
    assert verify(store, deep=True).problems == []
    for split in schema.SPLITS:
        halos = read_split(store, split, []).halos
        for row, region in enumerate(halos["region"].tolist()):
            for name, value in hypercube(4, region).values().items():
                assert halos[f"feedback_{name}"][row] == value
    part = subset(store, tmp_path / "s", halos=1)
    assert "feedback_core" in read_split(part, "train", []).halos
    strengths = {f"feedback_{name}" for name in STRENGTHS}
    assert set(schema.OPTIONAL_VARIABLES) == strengths | set(schema.MEASURED_ON_DEMAND)


SMALLEST = {"name": "smallest", "simulation": {"kind": "synthetic", "regions": "1"}}
DEFAULTS = Path(__file__).with_name("recipe_defaults.yaml")
SEVERAL = Path(__file__).resolve().parents[2] / "docs" / "recipes" / "several.yaml"


def flat(content: dict, name: str = "") -> dict[str, object]:
    """{section.key: value} of a recipe."""
    parts: dict[str, object] = {}
    for key, value in content.items():
        parts |= flat(value, f"{name}{key}.") if isinstance(value, dict) else {f"{name}{key}": value}
    return parts


def test_the_defaults_are_those_of_their_version() -> None:
    """A changed default would give other data under the same identity: raise RECIPE_VERSION.

    A new key is added to recipe_defaults.yaml with its default (``Recipe.full``), and nothing else changes.
    """
    pinned, now = (flat(yaml.safe_load(t)) for t in (DEFAULTS.read_text(), Recipe(**SMALLEST).full()))
    assert pinned["recipe_version"] == RECIPE_VERSION
    changed = {key for key in pinned if key not in now or now[key] != pinned[key]}
    assert not changed, f"raise RECIPE_VERSION and write recipe_defaults.yaml anew: {sorted(changed)}"
    assert set(now) == set(pinned), f"add to recipe_defaults.yaml: {sorted(set(now) - set(pinned))}"


def test_only_what_differs_from_the_defaults_counts() -> None:
    written_out = {**SMALLEST, "maps": {"pixels": 80}, "selection": {}, "recipe_version": RECIPE_VERSION}
    assert Recipe(**written_out).sha256() == Recipe(**SMALLEST).sha256()
    assert Recipe(**SMALLEST, maps={"pixels": 40}).sha256() != Recipe(**SMALLEST).sha256()
    cut = {**SMALLEST, "simulation": {**SMALLEST["simulation"], "gas": {"xray_max_share": 0.1}}}
    assert yaml.safe_load(Recipe(**cut).canonical())["simulation"]["gas"] == {"xray_max_share": 0.1}


@pytest.mark.parametrize("name", ["mini", "gizmo-simba", SEVERAL])
def test_what_a_store_carries_is_a_recipe_of_the_same_identity(name: str | Path, tmp_path: Path) -> None:
    recipe = load_recipe(name)
    file = tmp_path / "carried.yaml"
    for text in (recipe.canonical(), recipe.full()):
        file.write_text(text)
        assert load_recipe(file) == recipe and load_recipe(file).sha256() == recipe.sha256()


def test_a_recipe_of_another_version_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "later.yaml"
    file.write_text(yaml.safe_dump({**SMALLEST, "recipe_version": RECIPE_VERSION + 1}))
    with pytest.raises(InputError, match="recipe_version"):
        load_recipe(file)


@pytest.mark.parametrize("given", ["'7,9'", "[7, 9]"])
def test_regions_are_text_or_a_list(given):
    assert load_recipe("mini", overrides=(f"simulation.regions={given}",)).simulation.regions == "7,9"
