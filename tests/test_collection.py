"""Every test file of the tree is collected by the README's test command."""

from __future__ import annotations

import fnmatch
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def test_every_test_file_is_collected(request: pytest.FixtureRequest) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "*.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    holding = {
        path
        for path in (ROOT / name for name in listed.stdout.split())
        if path.name.startswith("test_")
        or (
            path.name != "conftest.py"
            and path.is_relative_to(ROOT / "tests")
            and "\ndef test_" in path.read_text(encoding="utf-8")
        )
    }
    assert len(holding) > 40
    # As pytest's own rules have it: `tests/build` would not be searched, `tests/check_x.py` not taken.
    config = request.config
    for path in holding:
        parts = path.relative_to(ROOT).parts
        assert parts[0] in config.getini("testpaths"), path
        assert any(fnmatch.fnmatch(parts[-1], pattern) for pattern in config.getini("python_files")), path
        for folder in parts[:-1]:
            assert not any(fnmatch.fnmatch(folder, rule) for rule in config.getini("norecursedirs")), path
    # And as it was, where this is a run of the whole suite.
    if config.args == config.getini("testpaths"):
        assert holding == config.collected_files
