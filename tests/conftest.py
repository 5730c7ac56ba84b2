"""Shared fixtures; and the one list of skips that are expected, with their reasons."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from filelock import FileLock

from tests.webdriver_client import Browser
from three_hundred_maps.testing import tiny_store

EXPECTED_SKIPS = {
    "real simulation files are not here: set THREE_HUNDRED_MAPS_REAL or put them at ../shared/real",
    "no Chromium on this machine: the pages' tests need one",
}
"""A skip with any other reason fails the run; with CI=true none is allowed."""

ROOT = Path(__file__).resolve().parent.parent
_NO_REAL, _NO_CHROMIUM = sorted(EXPECTED_SKIPS, reverse=True)


def real_folder() -> Path:
    """Where the real simulation files lie."""
    given = os.environ.get("THREE_HUNDRED_MAPS_REAL")
    return Path(given) if given else ROOT.parent / "shared" / "real"


@pytest.fixture(scope="session")
def real() -> Path:
    """The folder of real simulation files."""
    folder = real_folder()
    if not (folder / "README.md").exists():
        pytest.skip(_NO_REAL)
    return folder


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], object]], Path]:
    """Make a folder once for all of xdist's workers; nothing is to be written to it afterwards."""
    place = tmp_path_factory.getbasetemp()
    place = place.parent if "PYTEST_XDIST_WORKER" in os.environ else place

    def find(name: str, make: Callable[[Path], object]) -> Path:
        done = place / f"{name}.done"
        with FileLock(place / f"{name}.lock"):
            if not done.exists():
                make(place / name)
                done.touch()
        return place / name

    return find


@pytest.fixture(scope="session")
def store(made_once: Callable[..., Path]) -> Path:
    """Twelve halos to train on, four to choose by, four to test on; 32 pixels, three lines of sight."""
    return made_once("small", partial(tiny_store, halos=(12, 4, 4), n_los=3, pixels=32))


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a Chromium or Chrome that can run headless."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        found = shutil.which(name)
        if found:
            return found
    pytest.skip(_NO_CHROMIUM)


@pytest.fixture(scope="session")
def browser(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A headless browser."""
    driver = shutil.which("chromedriver")
    if driver is None:
        pytest.skip(_NO_CHROMIUM)
    found = Browser(chromium, driver, tmp_path_factory.mktemp("profile"))
    yield found
    found.close()


def pytest_configure(config):
    """Share the cores out between xdist's workers alone: threads of each would wait for each other.

    Set before the workers start: numpy reads it when it is imported.
    """
    if getattr(config.option, "numprocesses", None):
        for library in ("OMP", "OPENBLAS", "MKL", "NUMBA"):
            os.environ[f"{library}_NUM_THREADS"] = "1"


@pytest.fixture(autouse=True, scope="session")
def _no_waiting_for_disks() -> Iterator[None]:
    """A killed process loses nothing that it wrote: only a power cut would, and none is staged here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda descriptor: None)
        yield


@pytest.hookimpl(tryfirst=True, hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Turn an unexpected skip into a failure."""
    outcome = yield
    report = outcome.get_result()
    if report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2].removeprefix("Skipped: ") if isinstance(report.longrepr, tuple) else ""
        if reason not in EXPECTED_SKIPS or os.environ.get("CI") == "true":
            report.outcome = "failed"
            report.longrepr = f"unexpected skip: {reason}"


def pytest_collection_modifyitems(config, items):
    """Leave long campaigns to `make test-long` (``-m long``)."""
    config.collected_files = {item.path for item in items}
    if "long" in (config.getoption("-m") or ""):
        return
    kept = [item for item in items if "long" not in item.keywords]
    dropped = [item for item in items if "long" in item.keywords]
    if dropped:
        config.hook.pytest_deselected(items=dropped)
        items[:] = kept
