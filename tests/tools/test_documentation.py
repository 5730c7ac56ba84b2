"""The generated tables of the documents are what the program says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.documentation import PAGES, fill

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("page", PAGES)
def test_tables_are_current(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    assert fill(text, PAGES[page]) == text, "python -m tools.documentation makes them anew"


def test_a_page_without_a_place_for_its_table_is_an_error() -> None:
    with pytest.raises(ValueError, match="no place for the table scores"):
        fill("nothing", {"scores": str})
