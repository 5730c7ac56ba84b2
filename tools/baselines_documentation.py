"""The table of ``docs/train.md``, made by ``python -m tools.baselines_documentation``."""

from __future__ import annotations

import sys
from dataclasses import fields
from pathlib import Path

from baselines.settings import Settings, default_words, meaning
from three_hundred_maps.io import write_bytes
from tools.benchmarks_documentation import fill

PAGE = Path("docs") / "train.md"


def settings_table() -> str:
    """Every setting: its option, its default and that of each preset which has another, its meaning."""
    lines = ["| option | default | meaning |", "| --- | --- | --- |"]
    for item in fields(Settings):
        option = f"`--{item.name.replace('_', '-')}`"
        lines.append(f"| {option} | {'; '.join(default_words(item.name))} | {meaning(item)} |")
    return "\n".join(lines)


TABLES = {"settings": settings_table}


if __name__ == "__main__":
    page = Path(sys.argv[1]) if len(sys.argv) > 1 else PAGE
    write_bytes(page, fill(page.read_text("utf-8"), TABLES).encode())
