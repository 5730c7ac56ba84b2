"""The data set card: one template for the Hub and for the shipped sample, every number from the manifest.

What comes from a store (names, licences, recipes, citations) is untrusted text: it is escaped.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from huggingface_hub import DatasetCardData

from three_hundred_maps.display import markdown_table, sections
from three_hundred_maps.hub.pictures import shown_views
from three_hundred_maps.hub.rows import COLUMN_VARIABLES, LOS_VECTOR
from three_hundred_maps.store.overview import instrument_text
from three_hundred_maps.store.schema import SPLITS

TEXTS = sections(files(__package__).joinpath("card.md"))
"""The texts that are the same for every data set, by name; `str.format` fills the names in."""

SPDX = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]{1,40}")
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#!~])")


def plain(value: Any) -> str:
    """Text from a store as Markdown that shows it and does nothing else: one line, no HTML, no links.

    Vertical bars are left to `markdown_table`.
    """
    line = " ".join(str(value).split())
    return _MARKDOWN.sub(r"\\\1", html.escape(line, quote=False))


def listed(value: Any) -> Any:
    """A mapping as `key: value, ...`, a float in six digits; anything else as it is."""
    if isinstance(value, float):
        return f"{value:.6g}"
    if not isinstance(value, Mapping):
        return value
    return ", ".join(
        f"{key}: {listed(entry)}" for key, entry in sorted(value.items(), key=lambda item: str(item[0]))
    )


def fenced(value: Any, language: str = "") -> str:
    """Text from a store as a code block that it cannot close."""
    body = str(value).replace("\r\n", "\n").replace("\r", "\n").rstrip("\n")
    longest = max((len(run) for run in re.findall(r"`+", body)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{body}\n{fence}"


def render_card(manifest: Mapping[str, Any], repository: str, *, shipped: bool = False) -> str:
    """The README.md of a Hub repository, or (``shipped``) of the package folder with its sample."""
    configs: Mapping[str, Any] = manifest["configs"]
    first = next(iter(configs))
    parts = [
        front_matter(manifest, shipped=shipped),
        f"# {TEXTS['SAMPLE_TITLE'] if shipped else TEXTS['TITLE']}",
        opening(configs),
        TEXTS["WHAT"].format(views=view_sentence(configs[first])),
        pictures(configs),
        "## Load it",
        loading(configs, repository, shipped=shipped),
        "## What a row holds",
        fields(configs),
        "## Configs and splits",
        splits(configs, shipped=shipped),
        TEXTS["WHY_REGIONS"],
        "## Statistics of the maps",
        statistics(configs),
        "## How it was made",
        making(configs, shipped=shipped),
        "## Use, limits and biases",
        limits(configs),
        TEXTS["SYNTHETIC_LIMITS"] if any(c["synthetic"] for c in configs.values()) else "",
        "## The real data",
        TEXTS["REAL"],
        "## Licence",
        licences(configs),
        "## Citation",
        citations(configs),
    ]
    return "\n\n".join(part.strip() for part in parts if part) + "\n"


def opening(configs: Mapping[str, Any]) -> str:
    """The first lines: whether this is synthetic, and which of it."""
    synthetic = [name for name, c in configs.items() if c["synthetic"]]
    if len(synthetic) == len(configs):
        return TEXTS["SYNTHETIC"]
    if synthetic:
        return TEXTS["PARTLY_SYNTHETIC"].format(configs=", ".join(f"`{n}`" for n in synthetic))
    return TEXTS["SIMULATED"]


def front_matter(manifest: Mapping[str, Any], *, shipped: bool) -> str:
    """The YAML that the Hub and `datasets` read."""
    configs = manifest["configs"]
    rows = sum(entry["rows"] for c in configs.values() for entry in c["splits"].values())
    sizes = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
    names = sorted({spdx(c["license"]) for c in configs.values()})
    listed: list[dict[str, Any]] = []
    for name, c in configs.items():
        for suffix, key in (("", "parquet"), ("-halos", "halos_file")):
            data_files = [
                {"split": split, "path": c["splits"][split][key]}
                for split in SPLITS
                if c["splits"][split][key]
            ]
            if data_files and not (shipped and suffix):
                listed.append({"config_name": f"{name}{suffix}", "data_files": data_files})
    listed[0]["default"] = True
    tags = ["astronomy", "astrophysics", "cosmology", "galaxy-clusters", "dark-matter", "simulation"]
    data = DatasetCardData(
        pretty_name=TEXTS["SAMPLE_TITLE"] if shipped else TEXTS["TITLE"],
        license=names[0] if len(names) == 1 else "other",
        task_categories=["image-to-image"],
        tags=tags + ["synthetic"] * any(c["synthetic"] for c in configs.values()),
        size_categories=[next((label for limit, label in sizes if rows < limit), "1M<n<10M")],
        configs=listed,
    )
    return f"---\n{data.to_yaml()}\n---"


def spdx(license: Any) -> str:
    """A licence as the Hub writes it: a short identifier, else ``other``."""
    known = isinstance(license, str) and SPDX.fullmatch(license) and license != "unspecified"
    return str(license).lower() if known else "other"


def view_sentence(config: Mapping[str, Any]) -> str:
    """What the views are, as one line of text."""
    info = config["view_info"]
    return "; ".join(f"**{view}** ({plain(info[view]['long_name'])})" for view in config["views"])


def pictures(configs: Mapping[str, Any]) -> str:
    """The pictures of the configs."""
    lines = []
    for name, c in configs.items():
        shown = ", ".join(shown_views(c["views"]))
        kind = "synthetic clusters" if c["synthetic"] else "simulated clusters"
        lines += [
            f"![Config {name}: {kind}; from left to right {shown}]({path})" for path in c.get("images", [])
        ]
        lines.append(
            f"*Config `{name}`: {kind}, light to heavy from top to bottom; from left to right {shown}, "
            "in logarithmic colours.*"
        )
    return "\n\n".join(lines)


def loading(configs: Mapping[str, Any], repository: str, *, shipped: bool) -> str:
    """The ways of loading, as a table and as snippets that run."""
    config = next(iter(configs))
    c = configs[config]
    split = next(split for split in SPLITS if c["splits"][split]["rows"])
    target = c["views"][-1]
    values = {
        "repository": repository,
        "config": config,
        "split": split,
        "view": target,
        "zarr": c["zarr"] or "",
    }
    if shipped:
        return TEXTS["LOADING_SAMPLE"].format(**values)
    ways = [TEXTS["LOADING"], *([TEXTS["LOADING_ZARR"]] if c["zarr"] else []), TEXTS["LOADING_CACHE"]]
    return "\n\n".join(way.format(**values) for way in ways)


def fields(configs: Mapping[str, Any]) -> str:
    """Every column with its unit."""
    rows = []
    seen: set[str] = set()
    for c in configs.values():
        height, width = c["pixels"]
        for view in c["views"]:
            if view not in seen:
                seen.add(view)
                info = c["view_info"][view]
                shape = f"float32 ({height}, {width})"
                rows.append([f"`{view}`", shape, plain(info["units"]), plain(info["long_name"])])
    for name, v in COLUMN_VARIABLES.items():
        kind = f"{v.dtype} (3)" if name == LOS_VECTOR.name else v.dtype
        rows.append([f"`{name}`", kind, v.units, v.long_name])
    return markdown_table(("column", "type", "unit", "meaning"), rows) + "\n\n" + TEXTS["FIELDS"]


def splits(configs: Mapping[str, Any], *, shipped: bool) -> str:
    """n of N halos, regions, rows and masses of each split."""
    rows = []
    for name, c in configs.items():
        for split in SPLITS:
            s = c["splits"][split]
            mass = s["ranges"]["M200c"]
            halos = f"{s['halos']:,} of {s['halos_planned']:,}"
            span = "-" if mass is None else f"{mass[0]:.2e} to {mass[2]:.2e}"
            rows.append([f"`{name}`", split, f"{s['regions']:,}", halos, f"{s['rows']:,}", span])
    head = ("config", "split", "regions", "clusters", "rows", "M200c (Msun)")
    note = TEXTS["SAMPLE_SPLITS"] if shipped else TEXTS["SPLITS_NOTE"]
    return markdown_table(head, rows) + "\n\n" + note


def statistics(configs: Mapping[str, Any]) -> str:
    """Quantiles of the positive pixels over train, and the share of empty ones."""
    rows = []
    for name, c in configs.items():
        for view in c["views"]:
            info = c["view_info"][view]
            quantiles = ["-" if q is None else f"{q:.2f}" for q in info["log10_quantiles"]]
            empty = "-" if info["zero_fraction"] is None else f"{100 * info['zero_fraction']:.2f} %"
            rows.append([f"`{name}`", f"`{view}`", plain(info["units"]), *quantiles, empty])
    head = ("config", "view", "unit", "log10: 1 %", "50 %", "99 %", "pixels of 0")
    return markdown_table(head, rows) + "\n\n" + TEXTS["STATISTICS"]


def making(configs: Mapping[str, Any], *, shipped: bool) -> str:
    """Simulation, frame and recipe of each config."""
    lines = [TEXTS["MADE"]]
    for name, c in configs.items():
        origin = c.get("description") or "no description"
        lines.append(f"**`{name}`**: {plain(origin)}")
        frame = ", ".join(
            f"{what} {c[key]:g} R200c"
            for key, what in (
                ("width_R200c", "width"),
                ("half_depth_R200c", "half depth"),
                ("smoothing_fwhm_R200c", "smoothing (FWHM)"),
            )
        )
        lines.append(
            f"{c['lines_of_sight']} lines of sight a cluster; {frame}. Excluded halos: {c['excluded']}. "
            f"Recipe sha256 `{plain(c['recipe_sha256'])[:16]}`, store digest `{plain(c['digest'])[:16]}`."
        )
        if c.get("observed"):
            lines.append(observation(c))
        if c.get("exclusions"):
            lines.append("\n".join(f"- Excluded, {n:,}: {plain(reason)}" for n, reason in c["exclusions"]))
        if c.get("warnings"):
            lines.append("\n".join(f"- **Warning:** {plain(warning)}" for warning in c["warnings"]))
        if c.get("corrections"):
            lines.append(f"Values mended when the snapshots were read: {plain(listed(c['corrections']))}.")
        simulation = c.get("simulation")
        if isinstance(simulation, dict) and simulation:
            facts = [[plain(key), plain(listed(value))] for key, value in sorted(simulation.items())]
            lines.append(markdown_table(("simulation", "value"), facts))
        if c.get("recipe") and not shipped:
            lines.append(
                f"<details><summary>The whole recipe</summary>\n\n{fenced(c['recipe'], 'yaml')}\n\n</details>"
            )
    return "\n\n".join(lines)


def observation(config: Mapping[str, Any]) -> str:
    """What observed a config: its level, redshifts, the instrument of each view, and what is left out."""
    seen = config["observed"]
    low, high = seen["redshifts"]
    info = config["view_info"]
    rows = [
        (f"`{view}`", plain(instrument_text(info[view].get("instrument", {}))) or "none: as simulated")
        for view in config["views"]
    ]
    return (
        f"Seen as by: {plain(seen['title'])}. Redshifts {low:g} to {high:g}, one a cluster.\n\n"
        + markdown_table(("view", "instrument"), rows)
        + f"\n\n{plain(seen['limits'])}"
    )


def limits(configs: Mapping[str, Any]) -> str:
    """What the maps are made for and what not, with the numbers of these stores."""
    known = {name: c.get("map_mass_over_M200c") for name, c in configs.items()}
    ratios = ", ".join(f"{ratio:.2f} M200c (`{name}`)" for name, ratio in known.items() if ratio is not None)
    ideal = [name for name, c in configs.items() if not c.get("observed")]
    maps = "these maps" if len(ideal) == len(configs) else f"the maps of {', '.join(f'`{n}`' for n in ideal)}"
    instrument = TEXTS["NO_INSTRUMENT"].format(maps=maps) + "\n" if ideal else ""
    return TEXTS["LIMITS"].format(
        instrument=instrument, excess=TEXTS["EXCESS"].format(ratios=ratios) if ratios else ""
    )


def licences(configs: Mapping[str, Any]) -> str:
    """Licence and attribution of each config."""
    rows = [[f"`{n}`", plain(c["license"]), plain(c["attribution"] or "-")] for n, c in configs.items()]
    return markdown_table(("config", "licence", "attribution"), rows)


def citations(configs: Mapping[str, Any]) -> str:
    """The paper, the simulations, and what each store asks for."""
    own = dict.fromkeys(str(c["citation"]).strip() for c in configs.values() if c.get("citation"))
    return "\n\n".join(
        [TEXTS["CITE"], *(fenced(citation) for citation in own), fenced(TEXTS["BIBTEX"], "bibtex")]
    )
