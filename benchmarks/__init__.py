"""The benchmark: metrics, submissions, scores and the leaderboard."""

import importlib
from typing import Any

from three_hundred_maps.errors import naming_the_extra

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
    with naming_the_extra():
        return getattr(importlib.import_module(module), attribute)
