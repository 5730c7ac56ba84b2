"""A release: its texts agree, and its notes are those of the changelog."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from three_hundred_maps._version import __version__
from three_hundred_maps.errors import InputError
from tools.release import ROOT, check_texts, notes

TEXTS = ("CHANGELOG.md", "CITATION.cff", ".zenodo.json")


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    for name in TEXTS:
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def test_citation_zenodo_changelog_and_version_agree() -> None:
    text = check_texts()
    assert text.startswith("Changed") and "## " not in text
    assert text in (ROOT / "CHANGELOG.md").read_text("utf-8")


@pytest.mark.parametrize(
    ("name", "before", "after", "message"),
    [
        ("CITATION.cff", f"version: {__version__}", "version: 9.9.9", "version: '9.9.9', expected"),
        (".zenodo.json", '"Apache-2.0"', '"MIT"', "license: 'MIT', expected 'Apache-2.0'"),
        (".zenodo.json", "202429300013", "0", "doi: "),
        ("CHANGELOG.md", f"## {__version__} (20", f"## {__version__} (19", "date-released: "),
        ("CHANGELOG.md", f"## {__version__} ", "## 9.9.9 ", "CHANGELOG.md begins with"),
    ],
)
def test_what_does_not_agree_is_told(texts: Path, name: str, before: str, after: str, message: str) -> None:
    text = (texts / name).read_text("utf-8")
    assert before in text
    (texts / name).write_text(text.replace(before, after, 1), encoding="utf-8")
    with pytest.raises(InputError, match=message):
        check_texts(texts)


def test_notes_are_one_section() -> None:
    changelog = "# Changes\n\n## 2.0.0 (2027-01-01)\n\n- New.\n\n## 1.0.0 (2026-01-01)\n\n- Old.\n"
    assert notes(changelog, "2.0.0") == "- New.\n"
    with pytest.raises(InputError, match="says nothing of 2.0.0"):
        notes(changelog.replace("- New.\n", ""), "2.0.0")


def test_zenodo_gets_plain_fields() -> None:
    content = json.loads((ROOT / ".zenodo.json").read_text("utf-8"))
    assert content["upload_type"] == "software" and content["access_right"] == "open"
