"""One screen on a store in any state: what it holds, how far it is, what its maps look like in numbers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from three_hundred_maps.errors import InputError
from three_hundred_maps.store import schema
from three_hundred_maps.store.arrays import open_group, read_array
from three_hundred_maps.store.layout import LAYOUT_FILE, Layout
from three_hundred_maps.store.lock import lock_owner
from three_hundred_maps.store.manifest import MANIFEST, read_manifest, unfinished_message
from three_hundred_maps.store.names import is_url, resolve_store
from three_hundred_maps.store.notes import by_kind, corrections_text
from three_hundred_maps.store.records import read_layout, read_record
from three_hundred_maps.store.statistics import Statistics, merge_all, read_statistics


def overview(path: str | Path) -> dict[str, Any]:
    """What `inspect` shows, as plain values.

    Raises
    ------
    InputError
        Where there is neither a store nor the beginning of one.
    """
    path = resolve_store(path)
    store = Path(path)
    if is_url(path) or (store / MANIFEST).exists():
        return _finished(path)
    if (store / LAYOUT_FILE).exists():
        return _unfinished(store)
    raise InputError(unfinished_message(path))


def _common(layout: Layout, attrs: Mapping[str, Any]) -> dict[str, Any]:
    per_map = 4 * layout.n_los * layout.grid.pixels**2
    size = sum(len(layout.map_variables(s)) * layout.splits[s] * per_map for s in schema.SPLITS)
    return {
        "name": attrs["name"],
        "description": attrs["description"],
        "synthetic": attrs["synthetic"],
        "simulation": attrs["simulation"],
        "license": attrs["license"],
        "warnings": list(attrs.get("warnings", ())),
        "ten_brightest_share": dict(attrs.get("ten_brightest_share", {})),
        "corrections": dict(attrs.get("corrections", {})),
        "package_version": attrs["package_version"],
        "recipe_sha256": attrs["recipe_sha256"],
        "views": {v.name: v.units for v in layout.maps},
        "observed": dict(attrs.get("observed", {})),
        "instruments": {v: layout.view_attrs(v) for v in layout.views if layout.view_attrs(v)},
        "lines_of_sight": layout.n_los,
        "pixels": layout.grid.pixels,
        "width_R200c": layout.grid.width,
        "half_depth_R200c": layout.grid.half_depth,
        "shard_halos": layout.shard_halos,
        "map_bytes": size,
    }


def _finished(path: str | Path) -> dict[str, Any]:
    manifest = read_manifest(path)
    layout = Layout.of_store(path)
    root = open_group(path)
    splits = {}
    for split in schema.SPLITS:
        group = root[split]
        masses = read_array(path, group, "M200c")
        splits[split] = {
            "halos": layout.splits[split],
            "maps": layout.splits[split] * layout.n_los * len(layout.maps),
            "regions": len(set(read_array(path, group, "region").tolist())),
            "M200c": [float(masses.min()), float(masses.max())] if len(masses) else None,
        }
    return {
        "path": str(path),
        "state": "finished",
        **_common(layout, layout.attrs),
        "digest": manifest["digest"],
        "halos": sum(layout.splits.values()),
        "halos_planned": sum(manifest["halos_planned"].values()),
        "refused": manifest["refused"],
        "files": len(manifest["files"]),
        "bytes": sum(f["bytes"] for f in manifest["files"].values()),
        "splits": splits,
        "statistics": _statistics(read_statistics(path)),
    }


def _unfinished(store: Path) -> dict[str, Any]:
    layout = read_layout(store)
    splits: dict[str, Any] = {}
    refused: list[Any] = []
    statistics: list[Statistics] = []
    files = size = 0
    for split in schema.SPLITS:
        done = halos = 0
        regions: set[int] = set()
        masses: list[float] = []
        for shard in range(layout.shards(split)):
            record = read_record(store, split, shard)
            if record is None:
                continue
            done += 1
            halos += record.rows
            refused += record.refused
            regions |= set(record.halos["region"].tolist())
            masses += record.halos["M200c"].tolist()
            files += len(record.files)
            size += sum(f["bytes"] for f in record.files.values())
            if record.statistics is not None:
                statistics.append(record.statistics)
        splits[split] = {
            "halos": halos,
            "halos_planned": layout.splits[split],
            "shards": done,
            "shards_planned": layout.shards(split),
            "regions": len(regions),
            "M200c": [min(masses), max(masses)] if masses else None,
        }
    merged = Statistics({view: merge_all(s[view] for s in statistics) for view in layout.views})
    owner = lock_owner(store)
    return {
        "path": str(store),
        "state": f"being built by {owner}" if owner else "not finished, nobody works on it",
        **_common(layout, layout.attrs),
        "halos": sum(s["halos"] for s in splits.values()),
        "halos_planned": sum(layout.splits.values()),
        "refused": refused,
        "files": files,
        "bytes": size,
        "splits": splits,
        "statistics": _statistics(merged),
    }


def _statistics(statistics: Statistics) -> dict[str, Any]:
    return {
        view: {
            "pixels": s.count,
            "zeros": s.zeros,
            "log10_mean": s.mean if s.positive else None,
            "log10_std": s.std if s.positive else None,
            "minimum": s.minimum if s.count else None,
            "median": s.median if s.positive else None,
            "maximum": s.maximum if s.count else None,
        }
        for view, s in statistics.items()
    }


def describe(content: Mapping[str, Any]) -> str:
    """`overview` as a person reads it, on one screen."""
    simulation = content["simulation"]
    pixels, third_head = content["pixels"], "shards" if "digest" not in content else "maps"
    lines = [
        f"{content['name']}  ({content['path']})",
        content["description"],
        f"state        {content['state']}: {content['halos']} of {content['halos_planned']} halos"
        + (f", {len(content['refused'])} excluded" if content["refused"] else ""),
        f"simulation   {simulation.get('code', '?')}, z = {simulation.get('redshift', float('nan')):.4g}"
        + (f" in the first of {len(simulation['snapshots'])} snapshots" if "snapshots" in simulation else "")
        + (f", and {len(simulation['sources']) - 1} more" if "sources" in simulation else "")
        + (", synthetic" if content["synthetic"] else ""),
        f"maps         {content['lines_of_sight']} lines of sight, {pixels} x {pixels} pixels"
        f" over {content['width_R200c']:g} R200c, depth +-{content['half_depth_R200c']:g} R200c",
        f"size         {_bytes(content['map_bytes'])} of maps; {_bytes(content['bytes'])} in"
        f" {content['files']} files, {content['shard_halos']} halos a shard",
        f"recipe       {content['recipe_sha256'][:16]}"
        + (f"   store {content['digest'][:16]}" if "digest" in content else "")
        + f"   version {content['package_version']}   license {content['license']}",
        "",
        f"{'split':<12}{'halos':>8}{'regions':>9}{third_head:>10}   M200c (Msun)",
    ]
    for split, value in content["splits"].items():
        mass = value["M200c"]
        third = f"{value['shards']}/{value['shards_planned']}" if "shards" in value else str(value["maps"])
        span = f"{mass[0]:.2e} to {mass[1]:.2e}" if mass else "-"
        lines.append(f"{split:<12}{value['halos']:>8}{value['regions']:>9}{third:>10}   {span}")
    lines += [
        "",
        f"{'train view':<14}{'zeros':>7}{'log10 mean':>12}{'std':>7}"
        f"{'minimum':>11}{'median':>11}{'maximum':>11}   units",
    ]
    for view, s in content["statistics"].items():
        zeros = f"{s['zeros'] / s['pixels']:.1%}" if s["pixels"] else "-"
        lines.append(
            f"{view:<14}{zeros:>7}{_number(s['log10_mean'], '.3f'):>12}{_number(s['log10_std'], '.3f'):>7}"
            f"{_number(s['minimum'], '.2e'):>11}{_number(s['median'], '.2e'):>11}"
            f"{_number(s['maximum'], '.2e'):>11}   {content['views'][view]}"
        )
    if content["observed"]:
        low, high = content["observed"]["redshifts"]
        lines += ["", f"observed at level {content['observed']['title']}; redshifts {low:g} to {high:g}"]
        lines += [f"{view:<14}{instrument_text(value)}" for view, value in content["instruments"].items()]
    if content["ten_brightest_share"]:
        shares = content["ten_brightest_share"].items()
        lines += ["", "ten brightest particles' share of the light inside R200c: median (largest)"]
        lines.append("  ".join(f"{view} {s['median']:.1%} ({s['largest']:.1%})" for view, s in shares))
    if content["corrections"]:
        lines += ["", corrections_text(content["corrections"])]
    lines += [f"warning: {warning}" for warning in content["warnings"]]
    if content["refused"]:
        lines += [
            "",
            f"excluded of {content['halos_planned']} selected halos, for what their particles show "
            "(the recipe's key in brackets lifts it; --json lists each):",
        ]
    reasons = {
        item["reason"]: f"region {item['region']} halo {item['halo_id']}" for item in content["refused"]
    }
    for number, reason in by_kind([item["reason"] for item in content["refused"]]):
        lines.append(f"  {number:>4}  {'as ' * (number > 1)}{reasons[reason]}: {reason}")
    return "\n".join(lines)


def instrument_text(attrs: Mapping[str, Any]) -> str:
    """The figures of a view's instrument in one line."""
    return ", ".join(f"{name} {value:g}" for name, value in attrs.items() if type(value) in (int, float))


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _bytes(value: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} TB"
