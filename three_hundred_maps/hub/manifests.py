"""The manifest of an exported folder, and what is checked of it before it is believed."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json

from three_hundred_maps._version import __version__
from three_hundred_maps.errors import InputError
from three_hundred_maps.store.names import checked_name
from three_hundred_maps.store.schema import SPLITS

MANIFEST = "manifest.json"
"""The file at the root of an exported folder: configs, their files, sizes and sha256."""

EXPORT_FORMAT = 1
VIEW = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
"""What the name of a view looks like."""


def new_manifest(configs: dict[str, Any], files: dict[str, Any], repository: str | None) -> dict[str, Any]:
    """What a manifest holds: configs by name, and of each file its size and sha256."""
    return {
        "format": EXPORT_FORMAT,
        "package_version": __version__,
        "repository": repository,
        "configs": configs,
        "files": files,
    }


def checked_path(path: Any, what: str) -> str:
    """A relative path that stays in its folder, with forward slashes."""
    parts = PurePosixPath(path).parts if isinstance(path, str) else ()
    bad = not parts or "\\" in str(path) or ":" in str(path) or str(path).startswith(("/", "~"))
    if bad or any(part in ("..", ".") or any(ord(c) < 32 for c in part) for part in parts):
        raise InputError(f"{what}: the path {path!r} leaves its folder; this file is not to be trusted")
    return str(PurePosixPath(*parts))


_Path = Annotated[str, AfterValidator(lambda path: checked_path(path, "the manifest"))]
_Config = Annotated[str, AfterValidator(lambda name: checked_name(name, "the config"))]
_View = Annotated[str, Field(pattern=f"^{VIEW.pattern}$")]
_Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_Count = Annotated[int, Field(ge=0, le=10**15)]
_Pixels = Annotated[int, Field(ge=1, le=100_000)]
_Range = tuple[float, float, float] | None


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow")


class _File(_Strict):
    bytes: _Count
    sha256: _Sha256


class _Split(_Strict):
    halos: _Count
    halos_planned: _Count
    regions: _Count
    rows: _Count
    ranges: dict[str, Annotated[_Range, Field(strict=False)]]
    parquet: list[_Path]
    halos_file: _Path | None


class _ViewInfo(_Strict):
    units: str
    long_name: str
    log10_quantiles: list[float | None]
    zero_fraction: float | None
    instrument: dict[str, Any] = {}


class _Observed(_Strict):
    title: str
    redshifts: tuple[float, float] = Field(strict=False)
    limits: str


class _Record(_Strict):
    """A config. What the card shows of it as text may be anything: it is escaped there."""

    digest: _Sha256
    row_format: int
    views: list[_View] = Field(min_length=1)
    view_info: dict[_View, _ViewInfo]
    pixels: tuple[_Pixels, _Pixels] = Field(strict=False)
    splits: dict[Literal["train", "validation", "test"], _Split] = Field(min_length=len(SPLITS))
    zarr: _Path | None
    images: list[_Path]
    lines_of_sight: _Count
    excluded: _Count
    exclusions: list[Annotated[tuple[_Count, str], Field(strict=False)]] = []
    corrections: dict[str, _Count] = {}
    synthetic: bool
    license: Any
    attribution: Any
    citation: Any
    recipe_sha256: Any
    simulation: dict[str, Any] | None = None
    observed: _Observed | None = None


class _Manifest(_Strict):
    configs: dict[_Config, _Record] = Field(min_length=1)
    files: dict[_Path, _File]


def parse_manifest(text: bytes, where: str) -> dict[str, Any]:
    """The manifest as a dictionary, every name, number and checksum of it checked.

    Raises
    ------
    InputError
        For anything that `export` does not write: no JSON, or JSON nested too deep; another format; a name,
        path, size or checksum that cannot be; a file of a config that is not listed.
    """
    try:
        manifest = from_json(text)
    except ValueError as error:
        raise InputError(f"{where}: {MANIFEST} is not JSON ({error}); export or download it again") from None
    if not isinstance(manifest, dict) or manifest.get("format") != EXPORT_FORMAT:
        raise InputError(
            f"{where}: its {MANIFEST} is not of an export of this version (format {EXPORT_FORMAT}); "
            "upgrade three_hundred_maps or export it again"
        )
    try:
        _Manifest.model_validate(manifest)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))[:200]
        raise InputError(
            f"{where}: its {MANIFEST} is damaged ({place}: {first['msg']}); export or download it again"
        ) from None
    for name, record in manifest["configs"].items():
        named = {path for split in record["splits"].values() for path in split["parquet"]}
        if set(record["views"]) - set(record["view_info"]) or named - set(manifest["files"]):
            raise InputError(
                f"{where}: its {MANIFEST} is damaged (config {name!r} names views or files that it does not "
                "describe); export or download it again"
            )
    return dict(manifest)


def choose_config(manifest: dict[str, Any], config: str | None, where: str) -> tuple[str, dict[str, Any]]:
    """Name and record of a config (None: the first); InputError where the manifest has no such."""
    configs = manifest["configs"]
    name = config or next(iter(configs))
    if name not in configs:
        raise InputError(f"{where} holds no config {name!r}; it holds {', '.join(configs)}")
    return name, configs[name]
