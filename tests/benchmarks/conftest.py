"""Stores and submissions that the benchmark's tests share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.scoring import score_submission
from tests.helpers import submitted
from three_hundred_maps.store.arrays import SplitArrays, read_split, store_digest
from three_hundred_maps.testing import tiny_store


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep backgrounds in a folder of the tests' own, and be quiet."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("THREE_HUNDRED_MAPS_HOME", str(folder))
        patch.setenv("THREE_HUNDRED_MAPS_QUIET", "1")
        yield folder


@pytest.fixture(scope="session")
def store(made_once: Callable[..., Path]) -> Path:
    """A finished store with 12 test regions."""
    return made_once("benchmark", partial(tiny_store, halos=(6, 1, 12), n_los=2, shard_halos=5, seed=4))


@pytest.fixture(scope="session")
def test_split(store: Path) -> SplitArrays:
    """Its test split."""
    return read_split(store, "test", ["sz", "mass"])


@pytest.fixture(scope="session")
def fair(test_split: SplitArrays) -> np.ndarray:
    """A fair prediction: the shape of the SZ map with the true total, each halo off by its own factor.

    It knows nothing of the noise of the mass maps, as a blurred truth does.
    """
    rng = np.random.default_rng(0)
    factor = 10 ** rng.normal(0.0, 0.12, (len(test_split), 1, 1, 1))
    means = [test_split.maps[view].mean(axis=(2, 3), keepdims=True) for view in ("sz", "mass")]
    return (test_split.maps["sz"] * (means[1] / means[0]) * factor).astype(np.float32)


@pytest.fixture(scope="session")
def scored(
    store: Path, test_split: SplitArrays, fair: np.ndarray, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """The result of the fair prediction with its sigma; not to be changed."""
    folder = submitted(
        tmp_path_factory.mktemp("s") / "s", fair, name="U-Net", authors=["A. Author", "B. Author"],
        rows=test_split, mass_sigma=np.full_like(fair, 0.1), code="https://example.org/code",
        description="A network.",
    )  # fmt: skip
    return score_submission(folder, store)


@pytest.fixture
def submit(tmp_path: Path, store: Path, test_split: SplitArrays, fair: np.ndarray) -> Callable[..., Path]:
    """Write a valid submission, or one changed by keywords."""

    def write(folder: str = "submission", **changes: Any) -> Path:
        fields: dict[str, Any] = {
            "name": "Blurred",
            "authors": ["A. Author"],
            "maps": fair,
            "rows": test_split,
            "dataset": {"name": "tiny", "digest": store_digest(store)},
        }
        return submitted(tmp_path / folder, **{**fields, **changes})

    return write
