"""`observe`: from a wide ideal store to one of what instruments of a level would see."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.builder.executors import run_tasks
from three_hundred_maps.errors import InputError
from three_hundred_maps.geometry import MapGrid
from three_hundred_maps.io import sha256_bytes
from three_hundred_maps.keys import HaloKey, halo_keys
from three_hundred_maps.observe.frame import (
    PIXEL,
    PIXELS,
    Frame,
    Sky,
    cosmology_of,
    critical_density_of,
    draw_redshift,
    place,
    seeded,
)
from three_hundred_maps.observe.levels import Level, get_level, observed_name, observed_recipe
from three_hundred_maps.observe.operators import (
    COLD_BAND_FRACTION,
    add_white_noise,
    band_fraction,
    beam_matrix,
    count_rate,
    detect_stars,
    observe_rate,
    reduced_shear,
    separable,
)
from three_hundred_maps.progress import progress
from three_hundred_maps.store import schema
from three_hundred_maps.store.arrays import open_group, read_split, root_attrs, store_digest
from three_hundred_maps.store.derive import write_derived
from three_hundred_maps.store.layout import Layout
from three_hundred_maps.store.local import find_store
from three_hundred_maps.store.manifest import read_manifest
from three_hundred_maps.store.names import shortened
from three_hundred_maps.store.records import read_layout
from three_hundred_maps.store.writer import write_shard

TEMPERATURE = "temperature"

Maps = NDArray[np.float32]


@dataclass(frozen=True)
class Expected:
    """What instruments would see of a halo without noise, in the observer's frame.

    Parameters
    ----------
    maps
        By view of the level, and `schema.HALF` where given: (los, y, x) float32 in the units observed.
    scale
        By view with noise: (los,) float32, what its noise is scaled by (`with_noise`).
    """

    maps: dict[str, Maps]
    scale: dict[str, NDArray[np.float32]]


def expect(
    level: Level,
    grid: MapGrid,
    key: HaloKey,
    R200c_kpc: float,
    sky: Sky,
    critical: float,
    ideal: Mapping[str, Maps],
) -> Expected:
    """The maps of a halo without noise.

    Parameters
    ----------
    grid
        Of the ideal maps.
    key, R200c_kpc
        The halo's.
    sky
        Where it stands.
    critical
        Sigma_crit in Msun kpc-2; not used where the level has no shear.
    ideal
        By view, (los, y, x) in the units of an ideal store.
    """
    n_los = len(ideal[schema.TARGET])
    frames = [Frame.draw(key, los) for los in range(n_los)]
    pixel_arcmin = np.array([frame.pixel_arcmin(R200c_kpc, sky) for frame in frames])
    # (los, 80, pixels) for rows and for columns
    plain = tuple(
        np.stack(part).astype(np.float32)
        for part in zip(*(frame.matrices(grid) for frame in frames), strict=True)
    )

    def seen(maps: Maps, beam_arcsec: float = 0.0) -> Maps:
        rows, columns = plain
        if beam_arcsec > 0:
            fwhm = beam_arcsec / 60.0 / (grid.pixel * R200c_kpc * sky.arcmin_per_kpc)
            beam = beam_matrix(grid.pixels, fwhm).astype(np.float32)
            rows, columns = rows @ beam, columns @ beam
        return np.asarray(separable(maps, rows, columns))

    maps: dict[str, Maps] = {}
    scale: dict[str, NDArray[np.float64]] = {}
    if level.sz is not None:
        maps["sz"] = seen(ideal["sz"], level.sz.beam_fwhm_arcsec)
        scale["sz"] = level.sz.depth_y_arcmin / pixel_arcmin
    if level.xray is not None:
        fraction: Maps | float = (
            band_fraction(ideal[TEMPERATURE], level.xray.solar_metallicity)
            if TEMPERATURE in ideal
            else COLD_BAND_FRACTION
        )
        rate = count_rate(
            ideal["xray"], fraction, sky.arcmin_per_kpc**2, sky.luminosity_kpc, level.xray.counts_per_flux
        )
        maps["xray"] = seen(rate, level.xray.beam_fwhm_arcsec)
        scale["xray"] = level.xray.exposure_s * pixel_arcmin**2
    if level.star is not None:
        maps["star"] = seen(ideal["star"])
        scale["star"] = np.full(n_los, level.star.limit_msun_kpc2 * (1.0 + sky.redshift) ** 4)
    if level.shear is not None:
        sheared = reduced_shear(ideal[schema.TARGET] / np.float32(critical))
        noise = level.shear.shape_noise / np.sqrt(level.shear.galaxies_arcmin2 * pixel_arcmin**2)
        for name, values in zip(("shear1", "shear2"), sheared, strict=True):
            maps[name], scale[name] = seen(values.astype(np.float32)), noise
    for name in (schema.TARGET, schema.HALF):
        if name in ideal:
            maps[name] = seen(ideal[name])
    return Expected(maps, {name: values.astype(np.float32) for name, values in scale.items()})


def with_noise(level: Level, view: str, expected: Any, scale: Any, draw: Any) -> Any:
    """Noise of a level's instrument on the expected map of a view.

    Parameters
    ----------
    expected
        (..., y, x), of numpy or torch.
    scale
        ``Expected.scale`` of the view, which broadcasts: the standard deviation of sz and shear, the exposure
        times a pixel's area of xray, the limit of star. Not used for other views.
    draw
        As in `three_hundred_maps.observe.operators`.
    """
    if view in ("sz", "shear1", "shear2"):
        return add_white_noise(expected, scale, draw)
    if view == "xray":
        assert level.xray is not None
        return observe_rate(expected, level.xray.background, scale, draw)
    return detect_stars(expected, scale, draw) if view == "star" else expected


def observe_halo(level: Level, key: HaloKey, expected: Expected) -> dict[str, Maps]:
    """The observed maps of a halo: noise seeded by level, halo, line of sight and view."""
    maps = dict(expected.maps)
    for view, scale in expected.scale.items():
        maps[view] = np.stack(
            [
                with_noise(level, view, each, scale[los], seeded(level.name, key, los, view))
                for los, each in enumerate(expected.maps[view])
            ]
        )
    return {name: np.asarray(values, np.float32) for name, values in maps.items()}


class Observatory:
    """An ideal store as a level sees it, halo by halo.

    Parameters
    ----------
    source
        The ideal store.
    level
        What observes.

    Raises
    ------
    InputError
        Where the store lacks a view, its cosmology, or is not wide enough.
    """

    def __init__(self, source: str | Path, level: Level) -> None:
        self.source, self.level = source, level
        attrs = root_attrs(source)
        self.grid = MapGrid.from_attrs(attrs, source)
        self.cosmology = cosmology_of(attrs)
        missing = [view for view in level.ideal_views if view not in attrs["views"]]
        if missing:
            raise InputError(f"{source} has no view {', '.join(missing)}, which level {level.name} observes")
        if "observed" in attrs:
            raise InputError(f"{source} is an observed store already: observe the ideal one")
        if self.grid.width < 1.5 * PIXELS * PIXEL:
            raise InputError(
                f"{source} is {self.grid.width:g} R200c wide: beams and the observer's frame need maps of 3"
                " R200c, as those of the recipe mini-wide"
            )
        self.reads = [*level.ideal_views, *([TEMPERATURE] if TEMPERATURE in attrs["views"] else [])]

    def sky(self, key: HaloKey) -> Sky:
        """Where a halo stands at this level."""
        return place(self.cosmology, draw_redshift(key, self.level.redshifts))

    def expected(
        self, split: str, rows: slice
    ) -> tuple[list[HaloKey], list[Expected], dict[str, NDArray[Any]]]:
        """Keys, expected maps and halo values (with the observed redshift) of some rows."""
        half = [schema.HALF] if schema.HALF in open_group(self.source)[split] else []
        data = read_split(self.source, split, [*self.reads, *half], rows)
        keys = halo_keys(data.halos)
        found, redshifts = [], []
        for row, key in enumerate(keys):
            sky = self.sky(key)
            critical = math.nan
            if self.level.shear is not None:
                critical = critical_density_of(self.cosmology, sky, self.level.shear.source_redshift)
            ideal = {name: maps[row] for name, maps in data.maps.items()}
            R200c = float(data.halos["R200c"][row])
            found.append(expect(self.level, self.grid, key, R200c, sky, critical, ideal))
            redshifts.append(sky.redshift)
        return keys, found, {**data.halos, "redshift": np.array(redshifts, np.float64)}


def observe(
    store: str | Path, out: str | Path, level: str | Level, *, name: str | None = None, workers: int = 1
) -> Path:
    """Write what a level's instruments would see of an ideal store; resume where it was stopped.

    Parameters
    ----------
    store
        A finished ideal store of maps 3 R200c wide, by name or folder.
    out
        A new folder, or one that the same command began.
    level
        A name of `three_hundred_maps.observe.levels.LEVELS`, or a level.
    name
        Of the new store; by default that of the ideal one, ``-observed-`` and the level.
    workers
        Local processes, of one thread each; the bytes do not depend on it.

    Raises
    ------
    InputError
        Where the store cannot be observed at this level, or the folder holds other things.
    """
    source, level = find_store(store), get_level(level) if isinstance(level, str) else level
    if workers < 1:
        raise InputError(f"workers must be at least 1, not {workers}")
    Observatory(source, level)
    layout = observed_layout(source, level, name)

    def fill(out: Path, places: Sequence[tuple[str, int]]) -> None:
        tasks = [(str(out), str(source), level, *place) for place in places]
        bar = progress(total=len(tasks), desc=str(layout.attrs["name"]), unit="shard")
        with bar:
            # Always in processes of one thread: sums of a threaded BLAS may differ in their last digit.
            for _ in run_tasks(_observe_shard, tasks, workers=workers, own_process=True):
                bar.update(1)

    manifest = read_manifest(source)
    return write_derived(
        Path(out), layout, fill, planned=manifest["halos_planned"], refused=manifest["refused"]
    )


def _observe_shard(task: tuple[str, str, Level, str, int]) -> None:
    out, source, level, split, shard = Path(task[0]), task[1], *task[2:]
    layout = read_layout(out)
    first = shard * layout.shard_halos
    rows = slice(first, first + layout.shard_rows(split, shard))
    keys, expected, columns = Observatory(source, level).expected(split, rows)
    made = [observe_halo(level, key, each) for key, each in zip(keys, expected, strict=True)]
    maps = {v.name: np.stack([each[v.name] for each in made]) for v in layout.map_variables(split)}
    area = (layout.grid.pixel * columns["R200c"]) ** 2
    totals = {view: maps[view].sum(axis=(2, 3), dtype=np.float64) * area[:, None] for view in layout.views}
    write_shard(out, split, shard, maps, totals, columns, layout=layout)


def observed_layout(source: Path, level: Level, name: str | None = None) -> Layout:
    """The layout and root attributes of a store of ``level`` made of ``source``."""
    ideal = Layout.of_store(source)
    attrs = dict(ideal.attrs)
    text = observed_recipe(str(attrs["recipe"]), level)
    warnings = list(attrs.get("warnings", ()))
    if level.xray is not None and TEMPERATURE not in ideal.views:
        warnings.append(
            f"view xray: the ideal store has no temperature, so {COLD_BAND_FRACTION:g} of the bolometric"
            " light is taken to lie in 0.5-2 keV"
        )
    attrs.pop("ten_brightest_share", None)
    attrs |= {
        "name": name or shortened(observed_name(str(attrs["name"]), level)),
        "description": f"{str(attrs['description']).rstrip('.')}. Seen as by: {level.title}.",
        "recipe": text,
        "recipe_sha256": sha256_bytes(text.encode()),
        "derived": {"observed_of": store_digest(source), "level": level.name},
        "observed": {
            "level": level.name,
            "title": level.title,
            "of": str(ideal.attrs["name"]),
            "redshifts": list(level.redshifts),
            "limits": LIMITS,
        },
        "view_attrs": view_attrs(level),
    }
    if warnings:
        attrs["warnings"] = warnings
    texts = _view_texts(ideal)
    return replace(
        ideal,
        maps=tuple(schema.map_variable(view, *texts[view]) for view in level.views),
        grid=replace(ideal.grid, pixels=PIXELS, width=PIXELS * PIXEL),
        half=ideal.half,
        attrs=attrs,
    )


LIMITS = (
    "Halos of one snapshot are placed at redshifts drawn evenly: angles and fluxes follow, evolution does "
    "not. No foregrounds, backgrounds and filtering of the microwave sky; no absorption or point sources in "
    "X-rays, whose band is taken in the rest frame at one metallicity; sources of shear at one redshift; no "
    "structures along the line of sight beyond the maps' depth. Pixels are 0.025 of an R200c that is off by "
    "0.03 dex, about a centre that is off by 0.03 R200c; M200c, R200c and the others stay the halo's own."
)
"""What an observed store leaves out: said by the card."""


def _view_texts(ideal: Layout) -> dict[str, tuple[str, str]]:
    """Units and long name by view."""
    shear = "reduced shear, component {} (+: along {}), sky as seen by the observer"
    return {
        "sz": ("1", "observed thermal SZ Compton y, with white noise"),
        "xray": ("ct s-1 arcmin-2", "observed X-ray count rate of 0.5-2 keV, background included"),
        "star": ("Msun kpc-2", "stellar surface density from starlight, 0 below the detection limit"),
        "shear1": ("1", shear.format(1, "x")),
        "shear2": ("1", shear.format(2, "the diagonal x = y")),
        **{v.name: (v.units, v.long_name) for v in ideal.maps if v.name == schema.TARGET},
    }


def view_attrs(level: Level) -> dict[str, dict[str, Any]]:
    """By view, the attributes of its array: beam, depth, exposure, and whether its values are signed."""
    made: dict[str, dict[str, Any]] = {}
    for view in level.views:
        instrument = getattr(level, "shear" if view.startswith("shear") else view, None)
        if instrument is not None:
            made[view] = {k: v for k, v in vars(instrument).items() if v is not None}
            made[view]["signed"] = view != "xray" and view != "star"
    return made
