"""Results in the Hub's own format: ``.eval_results/*.yaml`` of model repositories."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.registry import RANKING
from three_hundred_maps.store.files import write_bytes


def task_id(result: Mapping[str, Any]) -> str:
    """The task's name in ``eval.yaml`` of the dataset: config, task and views."""
    return f"{result['dataset']['name']}-{result['task']}-{result['track'].replace(',', '-')}"


def eval_results(result: Mapping[str, Any], repository: str) -> str:
    """YAML of one result: one value a task.

    Parameters
    ----------
    result
        A result.
    repository
        The dataset's name on the Hub, ``org/name``.
    """
    import yaml
    from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

    score = result["scores"][RANKING]
    interval = "" if score["low"] is None else f", 95 % interval {score['low']:.4f} to {score['high']:.4f}"
    entry = EvalResultEntry(
        dataset_id=repository,
        task_id=task_id(result),
        value=score["value"],
        date=result.get("date"),
        notes=f"residual_rms_dex{interval}; dataset digest {result['dataset']['digest'][:16]}",
    )
    content = eval_result_entries_to_yaml([entry])
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def write_hub_files(entries: Mapping[str, Mapping[str, Any]], repository: str, out: Path) -> list[Path]:
    """``hub/SLUG/.eval_results/three_hundred_maps.yaml`` of every result, for its model's repository."""
    written = []
    for slug, result in entries.items():
        path = out / "hub" / slug / ".eval_results" / "three_hundred_maps.yaml"
        write_bytes(path, eval_results(result, repository).encode())
        written.append(path)
    return written
