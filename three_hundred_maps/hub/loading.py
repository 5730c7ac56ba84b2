"""``three_hundred_maps.load_dataset``."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote

import datasets

from three_hundred_maps.errors import InputError
from three_hundred_maps.hub.configs import config_names
from three_hundred_maps.hub.hook import NAME, install
from three_hundred_maps.store.schema import SPLITS

_REPOSITORY_URL = re.compile(r"hf://datasets/([^/@]+/[^/@]+)(?:@([^/]+))?/?")


def load_dataset(
    path: str | os.PathLike[str] = NAME,
    name: str | None = None,
    *,
    split: Any = None,
    views: str | Sequence[str] | None = None,
    columns: str | Sequence[str] | None = None,
    streaming: bool = False,
    data_dir: str | os.PathLike[str] | None = None,
    revision: str | None = None,
    num_proc: int | None = None,
    **kwargs: Any,
) -> Any:
    """Load the data set: each row is one cluster along one line of sight.

    Parameters
    ----------
    path
        ``"three_hundred_maps"``; or a config by its name alone, as ``"mini"``; a folder or URL, as for
        ``data_dir``; ``"ORG/NAME"`` or ``"hf://datasets/ORG/NAME"`` for a copy on the Hugging Face Hub, with
        ``/CONFIG/maps.zarr`` behind the latter for a Zarr store there.
    name
        The config; ``mini`` by default, ``sample`` always works.
    split
        As in `datasets`: ``"train"``, ``"train[:10%]"``, ``"train+test"``; all of them by default.
    views
        The maps wanted, as a sequence or ``"sz,mass"``; all of them by default. Fewer are faster to load.
    columns
        All that a row is to hold, maps and others, as ``["mass", "M200c"]``; instead of ``views``.
    streaming
        Read rows as they are asked for, and keep no copy in the cache.
    data_dir
        A finished store (a folder or a URL), or a folder that was exported or downloaded.
    revision
        A tag, branch or commit of the Hub repository.
    num_proc
        Processes that fill the cache.
    **kwargs
        Passed on to ``datasets.load_dataset``.

    Returns
    -------
    Dataset, DatasetDict, IterableDataset or IterableDatasetDict
        Maps are ``Array2D`` float32 (y, x) in the units of the card; ids, masses (Msun), radii (kpc, proper),
        redshift and the line of sight are columns beside them.

    Raises
    ------
    InputError
        An unknown config, view, column, split or argument; an unfinished store; no source that serves.
    ValueError
        A slice of a split that `datasets` does not take.
    """
    path = os.fspath(path)
    if repository := _REPOSITORY_URL.fullmatch(path):
        path, revision = repository[1], revision or unquote(repository[2] or "") or None
    if path != NAME:
        if is_place(path):
            if data_dir is not None:
                raise InputError(f"load_dataset({path!r}, data_dir={os.fspath(data_dir)!r}): give one folder")
            data_dir = path
        elif path in config_names():
            if name not in (None, path):
                raise InputError(f"load_dataset({path!r}, {name!r}): give one config")
            name = path
        elif path.count("/") == 1:
            kwargs["repo"] = path
        else:
            raise InputError(
                f"load_dataset({path!r}): there is no such config or folder; write a config "
                f"({', '.join(config_names())}), a folder or URL of a store, or 'ORG/NAME' of the Hub"
            )
    check_split(split)
    install()
    if data_dir is not None:
        kwargs["data_dir"] = os.fspath(data_dir)
    return datasets.load_dataset(
        NAME,
        name,
        split=split,
        streaming=streaming,
        revision=revision,
        num_proc=num_proc,
        views=views,
        columns=columns,
        **kwargs,
    )


def is_place(path: str) -> bool:
    """Whether a text names a folder or a URL, and not a config or a repository."""
    return "://" in path or path.startswith((".", "/", "~")) or os.path.isdir(path)


def check_split(split: Any) -> None:
    """InputError for a split that cannot be, before anything is built or fetched."""
    names = [split] if isinstance(split, str) else split if isinstance(split, (list, tuple)) else []
    for name in names:
        for part in str(name).split("+"):
            base = re.split(r"[\[(]", part.strip(), maxsplit=1)[0]
            if base not in (*SPLITS, "all"):
                raise InputError(
                    f"split={split!r}: there is no split {base!r}; there are {', '.join(SPLITS)}"
                )
