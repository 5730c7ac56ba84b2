"""What the page on clusters shows is run: its shell blocks, and the parts of its job array."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from tests.snippets import run_shell, snippets
from three_hundred_maps.store.finishing import finalise
from three_hundred_maps.store.verify import verify

PAGE = Path(__file__).resolve().parents[2] / "docs" / "cluster.md"


def test_the_job_arrays_tasks_make_a_store(tmp_path):
    recipe = tmp_path / "little.yaml"
    content = {
        "name": "little",
        "simulation": {"kind": "synthetic", "regions": "5,16"},
        "selection": {"min_mass": 1.2e13},
        "maps": {"pixels": 8, "lines_of_sight": 1},
        "store": {"shard_halos": 1},
    }
    recipe.write_text(yaml.safe_dump(content), encoding="utf-8")
    blocks = "".join(block.text for block in snippets(PAGE, "bash"))
    assert "lines of sight" in run_shell(blocks, tmp_path)
    script = (tmp_path / "build.sbatch").read_text()
    assert int(re.search(r"--array=1-(\d+)", script)[1]) > 1
    environment = {
        "RECIPE": str(recipe),
        "SIMULATIONS": str(tmp_path),
        "STORE": "store",
        "SLURM_CPUS_PER_TASK": "1",
        "SLURM_ARRAY_TASK_COUNT": "2",
    }
    for task in (2, 1):
        run_shell("bash build.sbatch", tmp_path, SLURM_ARRAY_TASK_ID=str(task), **environment)
    finalise(tmp_path / "store")
    assert verify(tmp_path / "store", deep=True).problems == []


def test_the_messages_it_explains_are_the_real_ones():
    source = "".join(
        path.read_text(encoding="utf-8")
        for folder in ("store", "cli", ".")
        for path in sorted((PAGE.parents[1] / "three_hundred_maps" / folder).glob("*.py"))
    )
    said = re.findall(r"^\| `([^`]+)`", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(said) == 5
    for message in said:
        words = max(re.split(r"\.\.\.|FILE|\(|:", message), key=len).strip()
        assert words in source, words
