"""Croissant 1.1: the data set in the vocabulary that search engines and other loaders read.

Format specification: http://mlcommons.org/croissant/1.1, with the responsible-AI terms of
http://mlcommons.org/croissant/RAI/1.0. What is the same for every data set is in ``croissant.json``
beside this file: the context, the names, the uses and biases.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from three_hundred_maps._version import __version__
from three_hundred_maps.hub.card import TEXTS, limits, opening
from three_hundred_maps.hub.rows import COLUMN_VARIABLES, LOS_VECTOR
from three_hundred_maps.store.overview import instrument_text
from three_hundred_maps.store.schema import SPLITS

_TYPES = {
    "float64": "sc:Float",
    "float32": "sc:Float",
    "int64": "sc:Integer",
    "int32": "sc:Integer",
    "uint8": "sc:Integer",
    "string": "sc:Text",
}
_UNCHECKED = "https://github.com/mlcommons/croissant/issues/80"
"""What the specification's own examples give as checksum of a git repository, which has none."""


def render_croissant(manifest: Mapping[str, Any], repository: str) -> dict[str, Any]:
    """croissant.json of an export: Parquet files with sha256, a record set a config, the Zarr stores."""
    configs: Mapping[str, Any] = manifest["configs"]
    home = f"https://huggingface.co/datasets/{repository}"
    distribution: list[dict[str, Any]] = [
        {
            "@type": "cr:FileObject",
            "@id": "repository",
            "name": "repository",
            "description": "The git repository of the data set on the Hugging Face Hub.",
            "contentUrl": home,
            "encodingFormat": "git+https",
            "sha256": _UNCHECKED,
        }
    ]
    records = []
    for name, c in configs.items():
        for split in SPLITS:
            for path in c["splits"][split]["parquet"]:
                distribution.append(_parquet_file(path, manifest["files"][path], home))
        distribution.append(
            _file_set(f"{name}-parquet", f"{name}/parquet/*.parquet", "application/x-parquet")
        )
        if c["zarr"]:
            distribution.append(_file_set(f"{name}-zarr", f"{c['zarr']}/**", "application/vnd.zarr"))
        records.append(_split_records(name, c))
        records.append(_record_set(name, c))
    licences = sorted({str(c["license"]) for c in configs.values()})
    return {
        **json.loads(files(__package__).joinpath("croissant.json").read_text("utf-8")),
        "description": f"{_bare(opening(configs))} "
        "Each record is a galaxy cluster along one line of sight, in several views on one grid.",
        "version": __version__,
        "url": home,
        "license": licences[0] if len(licences) == 1 else licences,
        "citeAs": TEXTS["BIBTEX"],
        **responsible_ai(configs),
        "distribution": distribution,
        "recordSet": records,
    }


def responsible_ai(configs: Mapping[str, Any]) -> dict[str, Any]:
    """The fields on collection, processing and limits; those that are always the same are in the file."""
    origin = "; ".join(
        f"{name}: {'synthetic simulation' if c['synthetic'] else 'hydrodynamical simulation'}, "
        f"{' '.join(str(c.get('description') or 'no description').split())}"
        for name, c in configs.items()
    )
    observed = [
        f"{name}: seen as by {c['observed']['title']}, at redshifts {c['observed']['redshifts'][0]:g} to "
        f"{c['observed']['redshifts'][1]:g}. {c['observed']['limits']}"
        for name, c in configs.items()
        if c.get("observed")
    ]
    synthetic = any(c["synthetic"] for c in configs.values())
    limited = limits(configs) + ("\n" + TEXTS["SYNTHETIC_LIMITS"] if synthetic else "")
    return {
        "rai:dataCollection": f"Nothing was collected from people or places: maps were computed. {origin}.",
        "rai:dataPreprocessingProtocol": [_bare(TEXTS["MADE"]), _bare(TEXTS["WHY_REGIONS"]), *observed],
        "rai:dataLimitations": [line.removeprefix("- ") for line in _items(limited)],
    }


def _parquet_file(path: str, entry: Mapping[str, Any], home: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": path,
        "name": path.rsplit("/", 1)[-1],
        "contentUrl": f"{home}/resolve/main/{path}",
        "contentSize": f"{entry['bytes']} B",
        "encodingFormat": "application/x-parquet",
        "sha256": entry["sha256"],
    }


def _file_set(identity: str, includes: str, encoding: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileSet",
        "@id": identity,
        "name": identity,
        "containedIn": {"@id": "repository"},
        "encodingFormat": encoding,
        "includes": includes,
    }


def _split_records(name: str, config: Mapping[str, Any]) -> dict[str, Any]:
    identity = f"{name}-splits"
    return {
        "@type": "cr:RecordSet",
        "@id": identity,
        "name": identity,
        "dataType": "cr:Split",
        "key": {"@id": f"{identity}/split"},
        "field": [
            {"@type": "cr:Field", "@id": f"{identity}/split", "name": "split", "dataType": "sc:Text"},
            {"@type": "cr:Field", "@id": f"{identity}/rows", "name": "rows", "dataType": "sc:Integer"},
        ],
        "data": [
            {f"{identity}/split": split, f"{identity}/rows": config["splits"][split]["rows"]}
            for split in SPLITS
        ],
    }


def _record_set(name: str, config: Mapping[str, Any]) -> dict[str, Any]:
    fields = [
        {
            "@type": "cr:Field",
            "@id": f"{name}/split",
            "name": "split",
            "description": "The split, from the name of the file.",
            "dataType": "sc:Text",
            "references": {"field": {"@id": f"{name}-splits/split"}},
            "source": {
                "fileSet": {"@id": f"{name}-parquet"},
                "extract": {"fileProperty": "filename"},
                # Readers apply it to what it has found already too.
                "transform": {"regex": r"^(train|validation|test)(?:-\d+-of-\d+\.parquet)?$"},
            },
        }
    ]
    height, width = config["pixels"]
    for view in config["views"]:
        info = config["view_info"][view]
        description = f"{info['long_name']}, unit {info['units']}: {height} rows of {width} pixels"
        if instrument := instrument_text(info.get("instrument", {})):
            description += f"; instrument: {instrument}"
        fields.append(_field(name, view, "sc:Float", description, shape=(height, width)))
    for column, v in COLUMN_VARIABLES.items():
        described = f"{v.long_name}, unit {v.units}"
        shape = (3,) if column == LOS_VECTOR.name else ()
        fields.append(_field(name, column, _TYPES[v.dtype], described, shape=shape))
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": f"Config {name}: one record a cluster and line of sight.",
        "field": fields,
    }


def _field(
    name: str, column: str, kind: str, description: str, *, shape: tuple[int, ...] = ()
) -> dict[str, Any]:
    field: dict[str, Any] = {
        "@type": "cr:Field",
        "@id": f"{name}/{column}",
        "name": column,
        "description": " ".join(description.split()),
        "dataType": kind,
        "source": {"fileSet": {"@id": f"{name}-parquet"}, "extract": {"column": column}},
    }
    if shape:
        field |= {"isArray": True, "arrayShape": ",".join(map(str, shape))}
    return field


def _bare(markdown: str) -> str:
    return " ".join(markdown.replace("**", "").replace("`", "").split())


def _items(markdown: str) -> list[str]:
    """The items of a Markdown list, each on one line."""
    joined = markdown.replace("\n  ", " ")
    return [line for line in joined.splitlines() if line.startswith("- ")]
