"""Compiled code where nothing can be cached."""

from __future__ import annotations

from numba.core import caching

from three_hundred_maps.cli import project
from three_hundred_maps.compiled import cache_folder, njit


def test_without_a_folder_for_the_cache_code_is_compiled_in_every_process(monkeypatch):
    assert cache_folder()
    monkeypatch.setattr(caching.CompileResultCacheImpl, "_locator_classes", [])
    assert njit(cache=True, nogil=True)(lambda x: x + 1)(2) == 3
    assert cache_folder() is None
    assert project._compiled().startswith("nowhere: set NUMBA_CACHE_DIR")
