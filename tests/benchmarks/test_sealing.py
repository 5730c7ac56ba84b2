"""A sealed store tells nothing but its views and redshifts, and scores as the open one."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray
import zarr

from benchmarks.compare import paired_difference
from benchmarks.constants import STANDARD
from benchmarks.disclosure import disclosed
from benchmarks.features import Features
from benchmarks.leaderboard import render
from benchmarks.registry import RANKING
from benchmarks.results import result_problems
from benchmarks.rows import find_rows
from benchmarks.scoring import score_submission
from benchmarks.sealing import FILE_TIME, opaque_keys, public_seed, seal
from benchmarks.truth import SEAL_FILE, Truth
from benchmarks.validation import validate
from tests.helpers import submitted
from three_hundred_maps import load_dataset
from three_hundred_maps.builder.recipe import load_recipe
from three_hundred_maps.errors import InputError
from three_hundred_maps.io import canonical_json
from three_hundred_maps.store.arrays import SplitArrays, read_split
from three_hundred_maps.store.overview import overview
from three_hundred_maps.store.preview import preview
from three_hundred_maps.store.schema import HALO_VARIABLES
from three_hundred_maps.store.verify import verify
from three_hundred_maps.testing import tiny_store


@pytest.fixture(scope="module")
def sealed(store: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return seal(store, tmp_path_factory.mktemp("sealed") / "s")


def test_the_inputs_hold_the_views_the_redshift_and_a_key(sealed: tuple[Path, Path]) -> None:
    group = zarr.open_group(sealed[0], mode="r")
    assert set(group.group_keys()) == {"test"}
    names = set(group["test"].array_keys())
    assert names == {"sz", "xray", "star", "key", "redshift", "los_vector", "los_up", "x", "y"}
    files = {p.name for p in sealed[0].rglob("*")} | {p.parent.name for p in sealed[0].rglob("*")}
    assert not files & (
        (set(HALO_VARIABLES) - {"redshift"}) | {"mass", "mass_half", "statistics", "manifest.json"}
    )
    texts = "".join(p.read_text() for p in sealed[0].rglob("zarr.json"))
    for name in set(HALO_VARIABLES) - {"redshift"}:
        assert f'"{name}":' not in texts and f'/{name}"' not in texts, name
    with xarray.open_zarr(sealed[0], group="test") as data:
        assert data["sz"].dims == ("halo", "los", "y", "x")


def test_the_order_and_the_keys_tell_nothing(sealed: tuple[Path, Path], store: Path) -> None:
    keys = zarr.open_group(sealed[0], mode="r")["test/key"][...]
    assert (np.diff(keys) > 0).all() and (keys >= 0).all()
    halos = Truth(store).halos
    first, second = opaque_keys(halos, b"one"), opaque_keys(halos, b"two")
    assert not set(first.tolist()) & set(second.tolist())
    assert np.array_equal(first, opaque_keys(halos, b"one"))
    assert (sealed[1] / "seal.json").is_file() and not (sealed[0] / "seal.json").exists()


def test_the_files_tell_no_order(sealed: tuple[Path, Path]) -> None:
    """One time for all files; written in the order of the keys, so that no number of an inode tells more."""
    assert {path.stat().st_mtime for path in sealed[0].rglob("*")} == {FILE_TIME}
    halos = sorted((sealed[0] / "test" / "sz" / "c").iterdir(), key=lambda p: int(p.name))
    assert len(halos) == 12
    codecs = zarr.open_group(sealed[0], mode="r")["test/sz"].compressors
    assert "Crc32c" in type(codecs[-1]).__name__


def test_sealed_inputs_fill_in_their_rows(sealed: tuple[Path, Path]) -> None:
    rows = find_rows((sealed[0], "test"))
    truth = Truth(sealed[1])
    assert rows.dataset == {"name": "tiny", "digest": truth.digest}
    assert sorted(rows.keys["key"].tolist()) == sorted(truth.keys["key"].tolist())


def test_what_reads_whole_stores_says_that_it_is_sealed(sealed: tuple[Path, Path]) -> None:
    for call in (overview, verify, load_dataset):
        with pytest.raises(InputError, match="inputs holds sealed inputs"):
            call(sealed[0])
    with pytest.raises(InputError, match="truth is a sealed truth, without the maps of train"):
        verify(sealed[1])


def test_a_public_seed_is_told() -> None:
    def warning(*overrides: str, synthetic: bool = True) -> str | None:
        recipe = load_recipe("mini", overrides=overrides).canonical()
        return public_seed({"synthetic": synthetic, "recipe": recipe})

    assert "anyone can build it again" in str(warning()) and "--set simulation.seed=N" in str(warning())
    assert warning("simulation.seed=918273645546372819") is None and warning(synthetic=False) is None


def test_each_sealed_map_is_the_halos_own(
    sealed: tuple[Path, Path], store: Path, test_split: SplitArrays
) -> None:
    group = zarr.open_group(sealed[0], mode="r")["test"]
    place = {key: row for row, key in enumerate(group["key"][...].tolist())}
    for row, key in enumerate(Truth(sealed[1]).keys["key"].tolist()):
        assert np.array_equal(group["sz"][place[key]], test_split.maps["sz"][row])


def test_the_sealed_truth_holds_no_maps_of_train(sealed: tuple[Path, Path], store: Path) -> None:
    for split in ("train", "validation"):
        assert not list((sealed[1] / split / "mass").glob("c/*"))
        assert list((store / split / "mass").glob("c/*"))
    attrs = zarr.open_group(sealed[0], mode="r").attrs
    assert Truth(sealed[1]).digest == attrs["dataset_digest"] != Truth(store).digest


def test_sealed_and_open_score_alike(
    sealed: tuple[Path, Path], store: Path, fair: np.ndarray, submit: Callable[..., Path], tmp_path: Path
) -> None:
    truth = Truth(sealed[1])
    order = np.argsort(truth.keys["key"])
    folder = submit(
        "sealed",
        maps=fair[order],
        rows={"key": truth.keys["key"][order]},
        dataset={"digest": truth.digest},
    )
    hidden, public = score_submission(folder, sealed[1]), score_submission(submit("open"), store)
    short = disclosed(public, STANDARD)
    for name in ("scores", "tables", "curves", "references", "noise_floor", "secondary"):
        assert hidden[name] == short[name], name
    assert hidden["scores"][RANKING]["value"] == float(f"{public['scores'][RANKING]['value']:.3g}")
    assert hidden["scores"]["mass_bias"]["value"] == round(public["scores"]["mass_bias"]["value"], 2)
    assert hidden["dataset"]["sealed"] and "cases" not in hidden and "cases" in public
    page = next((render([hidden], tmp_path / "site").parent / "submissions").iterdir()).read_text()
    assert "the truth of this dataset is held back" in page


def test_a_participant_checks_a_submission_against_the_inputs(
    sealed: tuple[Path, Path], fair: np.ndarray, submit: Callable[..., Path], tmp_path: Path
) -> None:
    truth = Truth(sealed[1])
    keys, dataset = truth.keys["key"], {"digest": truth.digest}
    assert validate(submit("good", maps=fair, rows={"key": keys}, dataset=dataset), sealed[0])
    bad = submit("bad", maps=fair, rows={"key": keys + 1}, dataset={"digest": "0" * 64})
    with pytest.raises(InputError, match=r"digest 0000.*12 test halos missing.*not in the test split"):
        validate(bad, sealed[0])
    other = submit("other", maps=fair, rows={"key": keys}, dataset=dataset, track="gas")
    with pytest.raises(InputError, match="the track names gas; the dataset's views are sz, xray, star"):
        validate(other, sealed[0])


def test_open_keys_do_not_fit_a_sealed_truth(sealed: tuple[Path, Path], submit: Callable[..., Path]) -> None:
    with pytest.raises(InputError, match="expected key"):
        score_submission(submit(dataset=None), sealed[1])


def test_a_seal_of_other_halos_is_none(sealed: tuple[Path, Path], tmp_path: Path) -> None:
    truth = shutil.copytree(sealed[1], tmp_path / "truth")
    seal_file = truth / SEAL_FILE
    content = json.loads(seal_file.read_text())
    seal_file.write_text(json.dumps({**content, "keys": content["keys"][:-2]}))
    with pytest.raises(InputError, match="has 10 keys for 12 halos"):
        Truth(truth)


def test_what_cannot_be_sealed(sealed: tuple[Path, Path], store: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="sealed store already"):
        seal(sealed[1], tmp_path / "x")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("x")
    with pytest.raises(InputError, match="holds something"):
        seal(store, tmp_path / "full")
    with pytest.raises(InputError, match="no store"):
        seal(tmp_path / "none", tmp_path / "y")
    with pytest.raises(InputError, match="sealed inputs: their halos have no names"):
        preview(sealed[0], "1:1000", 0, tmp_path / "halo.png")
    assert not (tmp_path / "x").exists() and not list(tmp_path.glob(".*"))


def _numbers(value: Any, axis: bool = False) -> Iterator[float]:
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _numbers(part, key in ("k", "radius", "mass"))
    elif isinstance(value, list):
        for part in value:
            yield from _numbers(part, axis)
    elif isinstance(value, float) and not axis:
        yield value


def test_two_constant_submissions_do_not_give_a_regions_mean(tmp_path: Path) -> None:
    """All regions at one constant, one of them once above and once below: its mean follows from the two."""
    store = tiny_store(tmp_path / "store", halos=(2, 1, 3), n_los=1, seed=6)
    _, secret = seal(store, tmp_path / "sealed")
    truth, split = Truth(secret), read_split(store, "test", ["mass"])
    inside = Features(split.maps["mass"], truth.grid, truth.r500).log_inside
    step, centre = 0.3, float(inside.mean())

    def results(path: Path, rows: dict[str, Any]) -> list[dict[str, Any]]:
        found = []
        for sign in (1, -1):
            levels = centre + step * sign * np.array([1.0, 0.0, 0.0])
            maps = np.broadcast_to(10.0 ** levels[:, None, None, None], split.maps["mass"].shape)
            folder = submitted(tmp_path / f"{path.name}{sign}", maps, rows=rows)
            found.append(score_submission(folder, path))
        return found

    above, below = results(store, split.halos)
    mse = [result["regions"]["mse"][0] for result in (above, below)]
    assert centre - (mse[0] - mse[1]) / (4 * step) == pytest.approx(inside[0].mean(), abs=1e-6)

    above, below = results(secret, truth.keys)
    for result in (above, below):
        assert not result_problems(json.loads(canonical_json(result)))
        assert not {"regions", "cases", "histogram", "residual_maps", "halos"} & set(result)
        shown = {
            k: result[k] for k in ("scores", "secondary", "curves", "tables", "references", "noise_floor")
        }
        assert all(v == float(f"{v:.3g}") for v in _numbers(shown))
        assert all(not row["scores"] for rows in result["tables"].values() for row in rows), "3 regions"
    rms = [result["scores"][RANKING]["value"] for result in (above, below)]
    # Half a unit of the third digit of each rms, through the same formula over all three regions.
    half = 0.5 * 10.0 ** (math.floor(math.log10(min(rms))) - 2)
    width = 3 * sum(2 * value * half for value in rms) / (4 * step)
    assert width > 1e-3
    assert centre - 3 * (rms[0] ** 2 - rms[1] ** 2) / (4 * step) == pytest.approx(inside[0].mean(), abs=width)
    with pytest.raises(InputError, match="no figures of regions"):
        paired_difference(above, below)
