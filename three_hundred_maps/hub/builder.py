"""The builder that `datasets` uses for the name ``three_hundred_maps``."""

from __future__ import annotations

import inspect
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
from datasets.exceptions import DatasetGenerationError

from three_hundred_maps._version import __version__
from three_hundred_maps.errors import InputError
from three_hundred_maps.hub import cache
from three_hundred_maps.hub.card import TEXTS
from three_hundred_maps.hub.configs import DEFAULT, SAMPLE, config_names, find_source
from three_hundred_maps.hub.rows import COLUMNS, ROW_FORMAT, row_features
from three_hundred_maps.hub.sources import Chunk, Source
from three_hundred_maps.io import cache_home, full_path, sha256_bytes
from three_hundred_maps.progress import note
from three_hundred_maps.store.schema import SPLITS, generator_of

_BASE_ARGUMENTS = {
    *inspect.signature(datasets.ArrowBasedBuilder.__init__).parameters,
    "version",
    "description",
}
"""What the builder's base takes, of a config too."""


@dataclass
class MapsConfig(datasets.BuilderConfig):
    """A config of the data set: the maps of a row and its other columns, in their order (None: all)."""

    version: datasets.Version | str | None = datasets.Version(__version__)
    views: tuple[str, ...] | None = None
    columns: tuple[str, ...] | None = None


def choose(
    option: str, wanted: str | Sequence[str] | None, known: Sequence[str], source: Source
) -> tuple[str, ...]:
    """The names that an option asks for, in the order of ``known``; InputError for one that is not there."""
    if wanted is None:
        return tuple(known)
    names = [name.strip() for name in wanted.split(",")] if isinstance(wanted, str) else list(wanted)
    unknown = [str(name) for name in names if name not in known]
    if unknown or not names:
        raise InputError(
            f"{option}s={','.join(map(str, names))!r}: {source.name} holds no {option} "
            f"{', '.join(unknown) or '(none was named)'}; it holds {', '.join(known)}"
        )
    return tuple(name for name in known if name in names)


class ThreeHundredMaps(datasets.ArrowBasedBuilder):
    """Rows of one config, from wherever `find_source` finds them.

    Parameters
    ----------
    views
        Names of the maps of a row, as a sequence or separated by commas; all of them by default.
    columns
        Names of all that a row is to hold, maps and others, instead of ``views``.
    repo, revision
        A Hub repository, and a version of it, to take the rows from.
    data_dir
        A store, or a folder that was exported or downloaded.
    """

    BUILDER_CONFIG_CLASS = MapsConfig
    BUILDER_CONFIGS = [MapsConfig(name=name) for name in config_names()]
    DEFAULT_CONFIG_NAME = DEFAULT
    config: MapsConfig

    def __init__(
        self,
        cache_dir: str | None = None,
        *,
        config_name: str | None = None,
        data_dir: str | os.PathLike[str] | None = None,
        data_files: Any = None,
        views: str | Sequence[str] | None = None,
        columns: str | Sequence[str] | None = None,
        repo: str | None = None,
        revision: str | None = None,
        hash: str | None = None,
        **kwargs: Any,
    ) -> None:
        if data_files is not None:
            raise InputError("data_files is not understood here; give a store by data_dir=")
        if views is not None and columns is not None:
            raise InputError("views= keeps every other column, columns= names all of them: give one")
        unknown = sorted(set(kwargs) - _BASE_ARGUMENTS)
        if unknown:
            raise InputError(
                f"there is no argument {', '.join(unknown)}; beside those of datasets.load_dataset there "
                "are views, columns, data_dir and revision"
            )
        self.source = find_source(config_name, data_dir=data_dir, repository=repo, revision=revision)
        self.views, self.columns = choose("view", views, self.source.views, self.source), COLUMNS
        if columns is not None:
            names = choose("column", columns, (*self.source.views, *COLUMNS), self.source)
            self.views = tuple(name for name in names if name in self.source.views)
            self.columns = tuple(name for name in names if name in COLUMNS)
        if config_name is None and data_dir is None and repo is None:
            rows = sum(self.source.rows.values())
            note(
                f"config {self.source.name!r} (none was named), {rows:,} rows; the 24 rows of the "
                f"package are config {SAMPLE!r}"
            )
        # The cache follows the content of the source: its digest is in the path of what is cached.
        if cache_dir is None and os.environ.get(cache.HOME_VARIABLE):
            cache_dir = str(cache_home() / "arrow")
        # Where no home folder is known, datasets takes "~" for the name of a folder.
        full_path(cache_dir or datasets.config.HF_DATASETS_CACHE)
        name = config_name or DEFAULT
        known = name in config_names()
        kept = [self.source.name, *self.views]
        if self.columns != COLUMNS:
            kept.append(f"columns-{sha256_bytes(','.join(self.columns).encode())[:8]}")
        arguments = {
            "config_name": name if known else SAMPLE,
            "config_id": "-".join(kept),
            "hash": f"{self.source.digest[:16]}-{ROW_FORMAT}",
            "views": self.views,
            "columns": self.columns,
            **kwargs,
        }
        self._cache_error: OSError | None = None
        try:
            super().__init__(cache_dir=cache_dir, **arguments)
        except OSError as error:
            # A cache that cannot be written serves what it holds, and streams need none.
            self._cache_error = error
            with tempfile.TemporaryDirectory() as scratch:
                super().__init__(cache_dir=scratch, **arguments)
            self._cache_dir_root = str(full_path(cache_dir or datasets.config.HF_DATASETS_CACHE))
            self._cache_dir = self._output_dir = self._build_cache_dir()
        self.config.name = self.info.config_name = self.source.name

    def _info(self) -> datasets.DatasetInfo:
        return datasets.DatasetInfo(
            description="\n".join(
                [
                    "Maps of galaxy clusters: every row is one cluster along one line of sight.",
                    *(f"{name}: {value}" for name, value in self._identity().items() if value),
                ]
            ),
            features=row_features(self.views, self.source.pixels, self.columns, self.source.view_info),
            license=str(self.source.about.get("license") or ""),
            citation="\n\n".join([TEXTS["BIBTEX"], str(self.source.about.get("citation") or "")]).strip(),
            homepage=TEXTS["HOMEPAGE"],
        )

    def _identity(self) -> dict[str, str | None]:
        """What the data set is: as `benchmarks` tells data sets apart, and the digest of the rows' source."""
        about = self.source.about
        return {
            "name": self.source.name,
            "recipe_sha256": about.get("recipe_sha256"),
            "generator": generator_of(about),
            "digest": self.source.digest,
        }

    def _split_generators(self, dl_manager: Any) -> list[datasets.SplitGenerator]:
        remote = bool(dl_manager.is_streaming)
        generators = []
        for split in SPLITS:
            # A split without halos is left out: datasets cannot write one.
            if self.source.rows.get(split):
                chunks = self.source.chunks(split, remote=remote)
                generators.append(datasets.SplitGenerator(name=split, gen_kwargs={"chunks": chunks}))
        return generators

    def _generate_tables(self, chunks: list[Chunk]) -> Iterator[tuple[str, pa.Table]]:
        for i, chunk in enumerate(chunks):
            for j, table in enumerate(self.source.tables(chunk, self.views, self.columns)):
                yield f"{i}_{j}", table

    def download_and_prepare(self, *args: Any, **kwargs: Any) -> None:
        """As in `datasets`; what a user can mend is an `InputError`, and a filled cache may be read-only."""
        try:
            if self._cache_error is not None:
                raise self._cache_error
            super().download_and_prepare(*args, **kwargs)
        except DatasetGenerationError as error:
            cause = error.__cause__
            if isinstance(cause, InputError):
                raise cause from None
            raise
        except ConnectionError:
            raise
        except OSError as error:
            if not (Path(self._output_dir) / datasets.config.DATASET_INFO_FILENAME).is_file():
                raise cache.unwritable(Path(self._cache_dir_root), error) from None
            self.info = self._load_info()
