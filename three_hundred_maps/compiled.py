"""numba's `njit`, which also works where no folder for its cache can be written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba


def njit(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """`numba.njit`; with ``cache=True`` the compiled code is kept on disk where that is possible.

    numba refuses to compile with a cache when neither the package's folder, nor the user's cache folder, nor
    ``NUMBA_CACHE_DIR`` can be written (as in containers). The code is then compiled anew in every process.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        try:
            return numba.njit(**options)(function)
        except RuntimeError as error:
            if "cannot cache" not in str(error):
                raise
            return numba.njit(**{**options, "cache": False})(function)

    return decorate


def cache_folder() -> str | None:
    """Where compiled code is kept on disk; None where no folder can be written (set ``NUMBA_CACHE_DIR``)."""
    folder: str | None = njit(cache=True)(_nothing).stats.cache_path
    return folder


def _nothing() -> None:
    """What `cache_folder` asks numba about."""
