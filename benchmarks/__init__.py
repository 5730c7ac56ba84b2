"""The benchmark: metrics, submissions, scores and the leaderboard."""

import importlib
from typing import Any

_EXPORTED = {
    "Evaluator": ("benchmarks.evaluator", "Evaluator"),
    "score": ("benchmarks.scoring", "score_submission"),
    "write_submission": ("benchmarks.submissions", "write_submission"),
}
__all__ = list(_EXPORTED)


def __getattr__(name: str) -> Any:
    if name not in _EXPORTED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _EXPORTED[name]
    return getattr(importlib.import_module(module), attribute)
