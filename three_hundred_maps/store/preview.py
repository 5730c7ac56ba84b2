"""A picture of one halo: each view with its colour bar and units, a scale, and where R200c is."""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np

from three_hundred_maps.display import SOLAR_MAGNITUDE, SURFACE_BRIGHTNESS
from three_hundred_maps.errors import InputError
from three_hundred_maps.keys import KEY, HaloKey
from three_hundred_maps.plot import colour_bar, draw_map, new_figure
from three_hundred_maps.store import schema
from three_hundred_maps.store.arrays import SplitArrays, halo_columns, open_group, read_split
from three_hundred_maps.store.names import resolve_store
from three_hundred_maps.store.overview import instrument_text


def read_halo(path: str | Path, halo: str, los: int) -> tuple[str, SplitArrays]:
    """The split of a halo that is named ``REGION:ID``, or by its whole key; its maps and values.

    Raises
    ------
    InputError
        Where the text names no halo of the store, or more than one; or no line of sight has the number
        ``los``.
    """
    wanted = HaloKey.parse(halo)
    root = open_group(path)
    if root.attrs.get("sealed"):
        raise InputError(f"{path} holds sealed inputs: their halos have no names to be found by")
    found, example = [], ""
    for split in schema.SPLITS:
        group = root[split]
        if "region" not in group:
            raise InputError(f"{path} is not finished: finish it first")
        columns = halo_columns(path, group, KEY)
        match = np.logical_and.reduce([columns[name] == value for name, value in wanted.items()])
        found += [(split, int(row)) for row in np.flatnonzero(match)]
        if len(match) and not example:
            example = f"{columns['region'][0]}:{columns['halo_id'][0]}"
    if not found:
        raise InputError(f"{path} holds no halo {halo}; it holds for instance {example}")
    if len(found) > 1:
        raise InputError(f"--halo {halo}: there are {len(found)}; write SIMULATION:REGION:SNAPSHOT:ID")
    split, row = found[0]
    data = read_split(path, split, None, slice(row, row + 1))
    n_los = len(data.los_vector)
    if not 0 <= los < n_los:
        raise InputError(f"--los {los}: this store has lines of sight 0 to {n_los - 1}")
    return split, data


def preview(path: str | Path, halo: str, los: int, out: str | Path) -> Path:
    """Draw every view of a halo along one line of sight.

    Parameters
    ----------
    path
        The store.
    halo
        ``REGION:ID``.
    los
        Number of the line of sight, from 0.
    out
        The picture; its suffix says the format.

    Raises
    ------
    InputError
        Where there is no such halo or line of sight, or the suffix is none that can be drawn.
    """
    path = resolve_store(path)
    split, data = read_halo(path, halo, los)
    target = Path(out)
    figure, axes = new_figure(1, len(data.maps), (4.1 * len(data.maps), 4.8))
    supported = figure.canvas.get_supported_filetypes()
    if target.suffix.lstrip(".").lower() not in supported:
        raise InputError(f"-o {out}: the suffix must be one of {', '.join(sorted(supported))}")
    root = open_group(path)
    group = root[split]
    # Maps of an observed store are in units of an R200c that is somewhat off: no bar of kpc is right.
    observed = "observed" in root.attrs
    R200c_kpc = None if observed else float(data.halos["R200c"][0])
    for axis, (name, maps) in zip(axes[0], data.maps.items(), strict=True):
        attrs = dict(group[name].attrs)
        width = float(attrs["width_R200c"])
        drawn = draw_map(axis, name, maps[0, los], width=width, R200c_kpc=R200c_kpc)
        units, zero = "dimensionless" if attrs["units"] == "1" else attrs["units"], None
        if name in SOLAR_MAGNITUDE:
            units, zero = "mag arcsec-2", SOLAR_MAGNITUDE[name] + SURFACE_BRIGHTNESS
        instrument = instrument_text(root.attrs.get("view_attrs", {}).get(name, {}))
        label = [*textwrap.wrap(attrs["long_name"], 52), f"[{units}]", *textwrap.wrap(instrument, 52)]
        colour_bar(figure, drawn, axis, "\n".join(label), zero)
        axis.set_title(name, fontsize=10)
        axis.set_xlabel("x / observer's R200c" if observed else "x / R200c", fontsize=8)
    figure.suptitle(_title(data, split, los, synthetic=bool(root.attrs["synthetic"])), fontsize=11)
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target, dpi=110)
    return target


def _title(data: SplitArrays, split: str, los: int, *, synthetic: bool) -> str:
    halo = {name: values[0] for name, values in data.halos.items()}
    n = ", ".join(f"{component:.2f}" for component in data.los_vector[los])
    state = "relaxed" if halo["relaxed"] else "not relaxed"
    return (
        f"{'SYNTHETIC: ' if synthetic else ''}region {halo['region']}, halo {halo['halo_id']} ({split}), "
        f"z = {halo['redshift']:.3f}, "
        rf"$M_{{200c}}$ = {halo['M200c']:.3g} $M_\odot$, $R_{{200c}}$ = {halo['R200c']:.0f} kpc, {state};"
        f"  line of sight {los}: ({n})"
    )
