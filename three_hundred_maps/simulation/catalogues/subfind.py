"""FOF/SUBFIND catalogues in HDF5, as GADGET-4, GADGET-3 and AREPO (IllustrisTNG) write them."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.errors import InputError
from three_hundred_maps.simulation.catalogues.halos import GroupMembers, Halos, substructure_within
from three_hundred_maps.simulation.cosmology import Cosmology
from three_hundred_maps.simulation.readers import hdf5_safe as safe
from three_hundred_maps.simulation.readers.hdf5_dialects import file_units
from three_hundred_maps.simulation.readers.snapshot_files import Paths, snapshot_files

_GROUP_COLUMNS = {
    "mass": "Group_M_Crit200",
    "radius": "Group_R_Crit200",
    "centre": "GroupPos",
    "first": "GroupFirstSub",
    "subhalos": "GroupNsubs",
}
_OPTIONAL = {"low": "GroupContaminationFracByMass", "lengths": "GroupLenType"}
"""Of TNG-Cluster the mass fraction of low-resolution dark matter in a group; particles by type."""
_FEWEST_MEMBERS = 1000
"""Particles of a group that are looked for in the snapshot's files."""
_SUBHALO_COLUMNS = {"mass": "SubhaloMass", "centre": "SubhaloPos"}


def read_subfind(
    path: Paths, *, cosmology: Cosmology, redshift: float, length_unit: str | None = None
) -> Halos:
    """Read a FOF/SUBFIND table: see `catalogue.read_catalogue`.

    Of a table in many files, of which one is that of a zoom region (TNG-Cluster), that one is given in a
    list: its groups are numbered from 0.

    Every FOF group with an M200c is a distinct halo, named by its number in the table and centred on its most
    bound particle (GroupPos). ``f_sub`` counts the subhaloes within R200c other than the first of the group.
    """
    files = snapshot_files(path)
    groups: dict[str, list[NDArray[np.float64]]] = {name: [] for name in (*_GROUP_COLUMNS, *_OPTIONAL)}
    subhalos: dict[str, list[NDArray[np.float64]]] = {name: [] for name in _SUBHALO_COLUMNS}
    header: dict[str, float] = {}
    for number, part in enumerate(files):
        with safe.opened(part) as file:
            attrs = safe.group(file, "Header", part)
            if number == 0:
                header = _header(attrs, part)
                assumed: dict[str, str] = {}
                units = file_units(file, part, "gadget4", cosmology, redshift, None, assumed)
                if length_unit and assumed:
                    units = file_units(file, part, "gadget4", cosmology, redshift, length_unit, {})
            here = safe.number(attrs, part, "Ngroups_ThisFile")
            inside = safe.first_number(
                [attrs], part, ("Nsubhalos_ThisFile", "Nsubgroups_ThisFile"), default=0.0
            )
            _read(file, "Group", part, int(here), _GROUP_COLUMNS | _OPTIONAL, groups)
            _read(file, "Subhalo", part, int(inside), _SUBHALO_COLUMNS, subhalos)
    exact = not isinstance(path, str | Path)
    if header["files"] != len(files) and not exact:
        raise InputError(
            f"{files[0]}: the header says this table has {header['files']:.0f} files (NumFiles), "
            f"here {'is' if len(files) == 1 else 'are'} {len(files)}"
        )
    table = {name: np.concatenate(parts) for name, parts in groups.items() if parts}
    subs = {name: np.concatenate(parts) for name, parts in subhalos.items() if parts}
    if not header["groups"]:
        raise InputError(f"{files[0]}: the catalogue has no halos (its header counts 0 groups)")
    if exact:
        header["groups"] = len(table.get("mass", ()))
        _number_from_zero(table)
    if not len(table.get("mass", ())) or len(table["mass"]) != header["groups"]:
        raise InputError(
            f"{files[0]}: the header counts {header['groups']:.0f} groups, the files hold "
            f"{len(table.get('mass', ()))}"
        )
    for name in ("mass", "radius", "centre"):
        if not np.isfinite(table[name]).all():
            raise InputError(f"{files[0]}: {_GROUP_COLUMNS[name]} holds numbers that are not finite")
    for name, stored in _OPTIONAL.items():
        if len(table.get(name, table["mass"])) != len(table["mass"]):
            raise InputError(f"{files[0]}: not every file of this table has {stored}")
    f_sub = _substructure(table, subs, header["box"])
    used = (table["mass"] > 0) & (table["radius"] > 0)
    return Halos.of(
        files[0],
        halo_id=np.flatnonzero(used).astype(np.int64),
        centre_kpc=table["centre"][used] * units.length_kpc,
        M200c_msun=table["mass"][used] * units.mass_msun,
        R200c_kpc=table["radius"][used] * units.length_kpc,
        f_high_resolution=1.0 - table["low"][used] if "low" in table else None,
        f_sub=f_sub[used],
        redshift=header["redshift"],
        source="subfind",
        members=_members(table, used, units.length_kpc) if "lengths" in table and not exact else None,
    )


def _number_from_zero(table: dict[str, NDArray[np.float64]]) -> None:
    """Count the first subhaloes of groups from that of the first group of these files."""
    filled = table["first"] >= 0 if "first" in table else np.zeros(0, bool)
    if filled.any():
        table["first"] = np.where(filled, table["first"] - table["first"][filled].min(), -1)


def _members(
    table: dict[str, NDArray[np.float64]], used: NDArray[np.bool_], length_kpc: float
) -> GroupMembers:
    """The rows of the larger groups: AREPO's and GADGET-4's snapshots are sorted by group."""
    length = table["lengths"][:, :6].astype(np.int64)
    first = np.cumsum(length, axis=0) - length
    large = used & (length.sum(1) >= _FEWEST_MEMBERS)
    return GroupMembers(
        table["centre"][large] * length_kpc, table["radius"][large] * length_kpc, first[large], length[large]
    )


def _header(attrs: h5py.Group, path: Path) -> dict[str, float]:
    return {
        "redshift": safe.number(attrs, path, "Redshift"),
        "groups": safe.first_number([attrs], path, ("Ngroups_Total", "Ngroups_ThisFile")),
        "files": safe.first_number([attrs], path, ("NumFiles", "NTask"), default=1.0),
        "box": safe.number(attrs, path, "BoxSize", default=0.0),
    }


def _read(
    file: h5py.File,
    group: str,
    path: Path,
    rows: int,
    columns: dict[str, str],
    into: dict[str, list[NDArray[np.float64]]],
) -> None:
    if rows == 0:
        return
    where = safe.group(file, group, path)
    for name, stored in columns.items():
        if where.get(stored, getlink=True) is None:
            if name in _OPTIONAL:
                continue
            raise InputError(
                f"{path}: no {group}/{stored}: a table of SUBFIND is needed, plain FOF groups have no M200c"
            )
        dataset = safe.dataset(where, stored, path, rows)
        widths = {"centre": [(3,)], "lengths": [(6,), (7,), (8,)]}  # AREPO's and GADGET-4's NTYPES
        if dataset.shape[1:] not in widths.get(name, [()]):
            raise InputError(f"{path}: {group}/{stored} has shape {dataset.shape}")
        into[name].append(np.asarray(dataset[()], np.float64))


def _substructure(
    table: dict[str, NDArray[np.float64]], subs: dict[str, NDArray[np.float64]], box: float
) -> NDArray[np.float64]:
    """(groups,) mass of the subhaloes within R200c, without the first, over M200c; lengths in file units."""
    groups = len(table["mass"])
    if not subs:
        return np.zeros(groups)
    first, number = table["first"].astype(np.int64), table["subhalos"].astype(np.int64)
    of = np.full(len(subs["mass"]), -1, np.int64)
    for group in np.flatnonzero((number > 1) & (first >= 0)):
        of[first[group] + 1 : first[group] + number[group]] = group
    return substructure_within(
        of, subs["centre"], subs["mass"], table["centre"], table["radius"], table["mass"], box
    )
