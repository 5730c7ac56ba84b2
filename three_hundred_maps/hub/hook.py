"""Makes ``datasets.load_dataset("three_hundred_maps")`` work once ``three_hundred_maps`` is imported.

The library `datasets` has no plug-in mechanism, so the one function that turns a name into a builder is
wrapped: our name and the folder of a store get our builder, every other name goes on as before. The wrapping
happens at once where `datasets` is already imported, else at the end of its import, so that ours stays fast
and imports nothing.
"""

from __future__ import annotations

import functools
import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
import warnings
from collections.abc import Sequence
from types import ModuleType
from typing import Any

NAME = "three_hundred_maps"
"""The name under which the data set is loaded."""

BUILDER_MODULE = "three_hundred_maps.hub.builder"
_MARK = "_three_hundred_maps_wraps"


class _DatasetsFinder(importlib.abc.MetaPathFinder):
    """Lets the import of `datasets` pass, and wraps its factory at the end of it."""

    def __init__(self) -> None:
        self._searching = False

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != "datasets" or self._searching:
            return None
        self._searching = True
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            self._searching = False
        if spec is None or spec.loader is None or not hasattr(spec.loader, "exec_module"):
            return None
        loader = spec.loader
        execute = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            # The loader keeps its own method from here on: nothing of ours stays in the way of tools
            # that read sources or resources through it.
            del loader.exec_module
            if self in sys.meta_path:
                sys.meta_path.remove(self)
            wrap(module)

        loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def install() -> None:
    """Wrap `datasets` now where it is imported, else when it will be. Doing it twice changes nothing."""
    module = sys.modules.get("datasets")
    if module is not None and hasattr(module, "load_dataset"):
        wrap(module)
    elif not any(isinstance(finder, _DatasetsFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _DatasetsFinder())


def wrap(module: ModuleType) -> None:
    """Wrap the factory of an imported `datasets`; some other module of that name is left alone."""
    load = sys.modules.get("datasets.load")
    if load is None or not hasattr(module, "load_dataset"):
        return
    original = getattr(load, "dataset_module_factory", None)
    if original is None or not hasattr(load, "DatasetModule"):
        warnings.warn(
            f"this version of datasets ({getattr(module, '__version__', '?')}) cannot be taught the name "
            f"{NAME!r}; use three_hundred_maps.load_dataset, which needs datasets 4 or later",
            stacklevel=2,
        )
        return
    if hasattr(original, _MARK):
        return
    wrapped = _wrapped(original, load)
    for place in ("datasets.load", "datasets.inspect"):
        target = sys.modules.get(place)
        if target is not None and getattr(target, "dataset_module_factory", None) is original:
            target.dataset_module_factory = wrapped  # type: ignore[attr-defined]


def _is_store(path: Any) -> bool:
    """Whether it is the folder of a store, of which `datasets` itself would read the metadata as rows."""
    return all(os.path.isfile(os.path.join(path, name)) for name in ("zarr.json", "manifest.json"))


def _wrapped(original: Any, load: ModuleType) -> Any:
    @functools.wraps(original)
    def dataset_module_factory(path: Any, *args: Any, **kwargs: Any) -> Any:
        if path != NAME:
            if not _is_store(path) or kwargs.get("data_dir") is not None:
                return original(path, *args, **kwargs)
            kwargs["data_dir"] = os.fspath(path)
        given = {key: kwargs[key] for key in ("data_dir", "revision") if kwargs.get(key) is not None}
        # The hash is the builder's own business: it follows the content of the store that is found.
        return load.DatasetModule(BUILDER_MODULE, NAME, {"dataset_name": NAME, **given})

    setattr(dataset_module_factory, _MARK, original)
    return dataset_module_factory
