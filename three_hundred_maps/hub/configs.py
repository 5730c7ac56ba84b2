"""The configs of the data set, and where the rows of one come from."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

from three_hundred_maps.builder.recipe import Recipe, load_recipe, shipped_recipes
from three_hundred_maps.errors import InputError
from three_hundred_maps.hub import cache
from three_hundred_maps.hub.manifests import MANIFEST, parse_manifest
from three_hundred_maps.hub.remote import fetch_manifest
from three_hundred_maps.hub.sources import ParquetSource, Source, StoreSource, open_folder
from three_hundred_maps.observe.levels import LEVELS, WIDE, Level, observed_name
from three_hundred_maps.progress import note

SAMPLE = "sample"
DEFAULT = "mini"
REPOSITORY_VARIABLE = "THREE_HUNDRED_MAPS_REPO"

REAL_DATA = (
    "its maps come from the files of a simulation: `three-hundred-maps recipe {config}` says which (those of "
    "The Three Hundred are shared on request, https://the300-project.org); with access, build it by: "
    "three-hundred-maps build {config} --root DIR --out STORE, then "
    "load_dataset('three_hundred_maps', data_dir='STORE')"
)


def config_names() -> list[str]:
    """Names that `load_dataset` knows: the sample, every shipped recipe, and the wide ones as observed."""
    return [SAMPLE, *(name for name in shipped_recipes() if name != SAMPLE), *observed_configs()]


def sample_folder() -> Path:
    """The folder of the shipped sample."""
    return Path(__file__).resolve().parent.parent / "sample"


@lru_cache(maxsize=1)
def observed_configs() -> dict[str, tuple[str, Level]]:
    """Configs that are made of a shipped wide recipe: the recipe, and the level that observes it."""
    wide = [name for name in shipped_recipes() if name.endswith(WIDE)]
    return {observed_name(name, level): (name, level) for name in wide for level in LEVELS.values()}


@lru_cache(maxsize=32)
def _recipe(config: str) -> Recipe:
    return load_recipe(config)


def find_source(
    config: str | None,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    repository: str | None = None,
    revision: str | None = None,
) -> Source:
    """Where the rows of a config come from.

    In this order: the folder ``data_dir``; the shipped sample for the config ``sample``; a store built
    before, in the cache; the Hub repository (``repository``, or ``THREE_HUNDRED_MAPS_REPO``); the recipe,
    built on the spot where it is synthetic. A ``repository`` or ``revision`` that is asked for by name comes
    before the cache.

    Raises
    ------
    InputError
        None of these serves; the message says which to do and how.
    """
    if data_dir is not None:
        if revision is not None:
            raise InputError(f"revision={revision!r} is of a Hub repository, and {data_dir} is none")
        return open_folder(os.fspath(data_dir), config)
    asked = repository is not None or revision is not None
    repository = repository or os.environ.get(REPOSITORY_VARIABLE) or None
    if revision is not None and repository is None:
        raise InputError(
            f"revision={revision!r} is of a Hub repository: name one by {REPOSITORY_VARIABLE}=ORG/NAME, "
            "or load_dataset('ORG/NAME')"
        )
    if asked:
        assert repository is not None
        return _from_hub(repository, config, revision)
    config = config or DEFAULT
    if config == SAMPLE:
        return _sample()
    if config not in config_names() and repository is None:
        raise InputError(
            f"no config {config!r}; there are {', '.join(config_names())} "
            "(a store of your own is loaded by data_dir=)"
        )
    ideal, level = observed_configs().get(config, (config, None))
    recipe = _recipe(ideal) if ideal in shipped_recipes() else None
    if recipe is not None and cache.is_finished(cache.store_path(recipe, level)):
        return StoreSource.open(cache.store_path(recipe, level))
    if repository is not None:
        try:
            return _from_hub(repository, config, None)
        except InputError as error:
            if recipe is None or recipe.simulation.kind != "synthetic":
                raise
            note(f"{error}; building instead")
    assert recipe is not None
    if recipe.simulation.kind != "synthetic":
        raise InputError(f"config {config!r} is not here: {REAL_DATA.format(config=config)}")
    if level is not None:
        cache.require_packages(config, "observe")
        wide = getattr(find_source(ideal), "path", None)
        if wide is None:
            raise InputError(
                f"config {config!r} is made of the Zarr store of {ideal!r}, which is here as Parquet"
            )
        return StoreSource.open(cache.observe_on_the_spot(config, recipe, level, wide))
    return StoreSource.open(cache.build_on_the_spot(config, recipe))


def store_of_config(name: str) -> Path | None:
    """The folder of a config's store, built and cached at its first use; None where no config is so named.

    Raises
    ------
    InputError
        Where the config is here as Parquet alone, or cannot be had.
    """
    if name not in config_names():
        return None
    found = getattr(find_source(name), "path", None)
    if not isinstance(found, Path):
        raise InputError(
            f"the config {name!r} is here as Parquet, and this needs a Zarr store: "
            f"three-hundred-maps build {name} --out STORE, then give STORE"
        )
    return found


def _sample() -> Source:
    folder = sample_folder()
    manifest = parse_manifest((folder / MANIFEST).read_bytes(), str(folder))
    return ParquetSource.from_manifest(manifest, SAMPLE, root=folder.parent)


def _from_hub(repository: str, config: str | None, revision: str | None) -> Source:
    manifest, commit = fetch_manifest(repository, revision=revision)
    return ParquetSource.from_manifest(manifest, config, repository=repository, revision=commit)
