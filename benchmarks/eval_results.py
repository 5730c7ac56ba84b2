"""Results in the Hub's own format: ``.eval_results/*.yaml`` of model repositories."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.registry import RANKING
from benchmarks.results import identity
from three_hundred_maps.io import write_bytes

HUB_SCORE = "skill"
FOLDER = ".eval_results"
"""Where the Hub looks for a model's results."""


def write_eval_results(result: Mapping[str, Any], repository: str, folder: Path) -> Path:
    """Write ``.eval_results/three_hundred_maps.yaml`` in the folder of a model repository; returns its path.

    The value is the skill, since the Hub's boards know no direction but up: of one task's results it makes
    the same order as the score that ranks.

    Parameters
    ----------
    result
        A result.
    repository
        The dataset's name on the Hub, ``org/name``.
    folder
        Of the model's repository.
    """
    import yaml
    from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

    score = result["scores"][RANKING]
    low, high = score["low"], score["high"]
    interval = "" if low is None or high is None else f", 95 % interval {low:.4f} to {high:.4f}"
    rms = f"residual_rms_dex {score['value']:.4f}"
    entry = EvalResultEntry(
        dataset_id=repository,
        # The task's name in `eval.yaml` of the dataset: config, task and views.
        task_id=f"{result['dataset']['name']}-{result['task']}-{result['track'].replace(',', '-')}",
        value=float(result["scores"][HUB_SCORE]["value"]),
        date=result.get("date"),
        notes=f"{rms}{interval}; {' '.join(part[:16] for part in identity(result)[1:])}",
    )
    content = yaml.safe_dump(eval_result_entries_to_yaml([entry]), sort_keys=False, allow_unicode=True)
    path = folder / FOLDER / "three_hundred_maps.yaml"
    write_bytes(path, content.encode())
    return path
