"""Fixtures of the hub's tests: tiny stores made once, caches of their own, and a loopback Hub."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from fake_hub import TOKEN, FakeHub, Run, files_of

from tests.processes import run_python
from three_hundred_maps.hub.exporting import export
from three_hundred_maps.progress import set_quiet
from three_hundred_maps.testing import tiny_store


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    set_quiet(True)
    yield
    set_quiet(False)


@pytest.fixture(scope="session")
def store(made_once: Callable[..., Path]) -> Path:
    """A finished store: 10, 2 and 3 halos in shards of 4, three lines of sight."""
    return made_once("hub-store", partial(tiny_store, halos=(10, 2, 3), n_los=3, shard_halos=4))


@pytest.fixture(scope="session")
def exported(store: Path, made_once: Callable[..., Path]) -> Path:
    """That store as a Hub repository in a folder; not to be changed."""
    set_quiet(True)
    return made_once("hub-export", partial(export, [store], repository="org/maps"))


@pytest.fixture
def own_export(exported: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may change."""
    return Path(shutil.copytree(exported, tmp_path / "export"))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache for everything of this test, in this process too."""
    folder = tmp_path / "home"
    monkeypatch.setenv("THREE_HUNDRED_MAPS_HOME", str(folder))
    monkeypatch.delenv("THREE_HUNDRED_MAPS_REPO", raising=False)
    return folder


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    """A loopback Hub, empty."""
    server = FakeHub()
    yield server
    server.close()


@pytest.fixture
def published(hub: FakeHub, exported: Path) -> FakeHub:
    """A loopback Hub that holds the export as org/maps."""
    hub.add("org/maps", files_of(exported))
    return hub


@pytest.fixture
def run(tmp_path: Path, request: pytest.FixtureRequest) -> Run:
    """Run Python in a process of its own, with caches of its own, offline but for the loopback Hub.

    ``fresh`` where the test is of the interpreter's own start or end.
    """
    cache = tmp_path / "hf"
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("HF_", "THREE_HUNDRED_MAPS_", "XDG_"))
    }
    environment.update(
        HF_HOME=str(cache),
        HF_HUB_DISABLE_XET="1",
        HF_HUB_DISABLE_TELEMETRY="1",
        HF_UPDATE_DOWNLOAD_COUNTS="0",
        HF_HUB_OFFLINE="1",
        HF_DATASETS_DISABLE_PROGRESS_BARS="1",
        PYTHONWARNINGS="ignore",
        OMP_NUM_THREADS="1",
    )

    def call(
        *arguments: str,
        hub: FakeHub | None = None,
        token: bool = False,
        cwd: Path | None = None,
        status: int = 0,
        fresh: bool = False,
        **more: str,
    ) -> subprocess.CompletedProcess[str]:
        env = dict(environment)
        if hub is not None:
            env.pop("HF_HUB_OFFLINE")
            env["HF_ENDPOINT"] = hub.url
        if token:
            env["HF_TOKEN"] = TOKEN
        result = run_python(*arguments, environment={**env, **more}, cwd=cwd or tmp_path, fresh=fresh)
        assert result.returncode == status, f"{arguments}\n{result.stdout}\n{result.stderr}"
        return result

    return call
