"""HDF5 snapshots of the Gadget family, GIZMO, AREPO and SWIFT: headers, dialects and columns.

Nothing is allocated before the header, the shapes and the links of a file have been checked: see `hdf5_safe`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.errors import InputError
from three_hundred_maps.simulation.block_index import BlockIndex, Ranges, within_rows
from three_hundred_maps.simulation.cosmology import Cosmology
from three_hundred_maps.simulation.readers import hdf5_safe as safe
from three_hundred_maps.simulation.readers.hdf5_dialects import (
    COLUMNS,
    NEEDED,
    Evidence,
    file_units,
    kernel_of,
)
from three_hundred_maps.simulation.readers.hdf5_index import (
    in_snapshot,
    swift_cells,
    tng_counts,
    totals,
    type_counts,
)
from three_hundred_maps.simulation.readers.snapshot_files import part_number
from three_hundred_maps.simulation.readers.source import (
    HDF5_CODES,
    SPECIES_TYPES,
    SnapshotInfo,
    Span,
    check_background,
    check_files_of_set,
    check_total,
    read_exactly,
)
from three_hundred_maps.units import KM_CM, KPC_CM

_CHUNK_ROWS = 1 << 20
_YEAR_S = 3.15576e7
_OTHER_EXPANSION = 2e-3
"""Of H(z) / H_0, between a file and its matter and dark energy alone; radiation adds less up to z = 10."""


class Hdf5Source:
    """An HDF5 snapshot of one or more files: see `Source`.

    Raises
    ------
    InputError
        Where a header, a link or a shape is not what a snapshot has.
    """

    def __init__(
        self,
        files: list[Path],
        length_unit: str | None,
        dialect: str | None,
        optional: tuple[str, ...] = (),
        master: Path | None = None,
        offsets: Path | None = None,
        exact: bool = False,
    ) -> None:
        self.optional = optional
        self._numbers = list(range(len(files)))
        self._absent: dict[int, NDArray[np.int64]] = {}
        self._cells: dict[int, BlockIndex] = {}
        if master is not None:
            self._cells = swift_cells([master])
            files = self._from_master(files, master)
        elif offsets is not None:
            files = self._from_offsets(files, offsets)
        self.path = files[0]
        self._files = files
        self._counts: list[NDArray[np.int64]] = []
        self._assumptions: dict[str, str] = {}
        self._present: dict[int, dict[str, tuple[str, int | None]]] = {}
        summed = np.zeros(8, np.int64)
        for counts in self._absent.values():
            summed += counts
        evidence = Evidence()
        for name in files:
            with safe.opened(name) as file:
                header = safe.group(file, "Header", name)
                self._counts.append(type_counts(header, name, "NumPart_ThisFile"))
                summed += self._counts[-1]
                evidence.add(file, header, name)
        if dialect not in (None, *HDF5_CODES):
            raise InputError(
                f"{self.path}: an HDF5 file cannot be of dialect {dialect}, but of {', '.join(HDF5_CODES)}"
            )
        self._dialect = dialect or evidence.dialect(self.path)
        with safe.opened(self.path) as file:
            header = safe.group(file, "Header", self.path)
            total = totals(header, self.path)
            declared = int(safe.number(header, self.path, "NumFilesPerSnapshot", default=1.0))
            self._read_header(file, header, self.path, length_unit)
        if self._absent:
            self._assumptions["files"] = (
                f"{len(self._absent)} of {len(self._absent) + len(files)} files of the snapshot are not here"
            )
            if offsets is not None:
                self._assumptions["files"] += ": what they hold of no group is missing from the maps"
        if self._dialect == "arepo":
            for counts in self._absent.values():
                counts[3] = 0  # tracers, as in the files that are here
        for name, here in zip(files, self._counts, strict=True):
            with safe.opened(name) as file:
                self._check_columns(file, name, here)
        if not exact:
            check_files_of_set(files, declared - len(self._absent))
        if total is not None and not exact:
            check_total(files, total, summed)
        self.info = SnapshotInfo(
            redshift=self._redshift,
            box_kpc=self._box * self._units.length_kpc,
            cosmology=self._cosmology,
            code=HDF5_CODES[self._dialect],
            dialect=self._dialect,
            synthetic=self._synthetic,
            kernel=self._kernel,
            counts={
                name: sum(self.count(kind) for kind in kinds) for name, kinds in self.species_types.items()
            },
            length_unit=self._units.name,
            assumptions=self._assumptions,
        )

    def count(self, kind: int) -> int:
        everywhere = [*self._counts, *self._absent.values()]
        return int(sum(here[kind] for here in everywhere))

    def spans(self, kind: int) -> list[Span]:
        here = dict(zip(self._numbers, zip(self._files, self._counts, strict=True), strict=True))
        spans, start = [], 0
        for number in sorted([*here, *self._absent]):
            path, counts = here.get(number) or (self._name(number), self._absent[number])
            spans.append(Span(number, path, start, start + int(counts[kind]), number in here))
            start = spans[-1].stop
        return spans

    def cells(self, kind: int, origin: NDArray[np.float64]) -> BlockIndex | None:
        """Where SWIFT's own cells say that the particles of a type lie; None where they do not say."""
        if self._dialect != "swift":
            return None
        if not self._cells:
            self._cells = swift_cells(self._files)
        table = self._cells.get(kind)
        return None if table is None else in_snapshot(table, self.spans(kind), origin)

    def _name(self, number: int) -> Path:
        """The path of a file of this set that is not here."""
        first = self._files[0].name
        return self.path.with_name(re.sub(r"\.\d+(\.hdf5|\.h5)?$", lambda m: f".{number}{m[1] or ''}", first))

    def _from_master(self, files: list[Path], master: Path) -> list[Path]:
        """The parts that are here; what is in the others is known from the cells of the master file."""
        for number, path in enumerate(files):
            if path.is_file():
                continue
            counts = np.zeros(8, np.int64)
            for kind, table in self._cells.items():
                counts[kind] = np.diff(table.rows[table.file == number]).sum()
            if not self._cells:
                raise InputError(
                    f"{master} only points to the files of its snapshot, and {path.name} is not beside it"
                )
            self._absent[number] = counts
        self._numbers = [number for number in self._numbers if number not in self._absent]
        if not self._numbers:
            raise InputError(f"{master}: none of the {len(files)} files of this snapshot is beside it")
        return [files[number] for number in self._numbers]

    def _from_offsets(self, files: list[Path], offsets: Path) -> list[Path]:
        """The files that are here; how many particles are in the others is known from TNG's offsets."""
        rows = tng_counts(offsets, files[0])
        for path in files:
            if part_number(path) is None:
                raise InputError(
                    f"{path}: this is not a file of a set (NAME.0.hdf5, ...), which simulation.offsets is for"
                )
        self._numbers = [n for path in files if (n := part_number(path)) is not None]
        if max(self._numbers) >= len(rows):
            raise InputError(f"{offsets}: is of {len(rows)} files, the snapshot has {files[-1].name}")
        self._absent = {n: rows[n] for n in range(len(rows)) if n not in self._numbers}
        return files

    def has(self, kind: int, name: str) -> bool:
        return name in self._present.get(kind, {})

    def first_position(self, kind: int) -> NDArray[np.float64] | None:
        if not self.count(kind):
            return None
        for here, name in zip(self._counts, self._files, strict=True):
            if here[kind]:
                with safe.opened(name) as file:
                    dataset = file[f"PartType{kind}/{self._present[kind]['position'][0]}"]
                    return None if dataset.dtype.itemsize <= 4 else np.asarray(dataset[0], np.float64)
        return None

    def read(
        self,
        kind: int,
        name: str,
        out: NDArray[np.float32],
        origin: NDArray[np.float64],
        ranges: Ranges | None = None,
    ) -> None:
        stored, column = self._present[kind][name]
        shift = origin if name == "position" else np.zeros(3)
        start = 0
        for span in self.spans(kind):
            pieces = within_rows(ranges, span.start, span.stop)
            if not pieces:
                continue
            if not span.present:
                raise InputError(f"{span.path}: this file of the snapshot is not here")
            with safe.opened(span.path) as file:
                dataset = file[f"PartType{kind}/{stored}"]
                for first, last in pieces:
                    part, row = out[start : start + last - first], first - span.start
                    if not _fill_straight(span.path, file, dataset, part, column, shift, row):
                        _fill(dataset, part, column, shift, row)
                    start += last - first

    def _read_header(self, file: h5py.File, header: h5py.Group, path: Path, length_unit: str | None) -> None:
        """Everything of the first file's header that the info and the units need."""
        places = [*safe.groups(file, ("Cosmology", "Parameters"), path), header]
        cosmology = Cosmology(
            h=safe.first_number(places, path, ("HubbleParam", "h")),
            # SWIFT's is of baryons and cold dark matter: its neutrinos are matter too, as type 6 is.
            omega_m=safe.first_number(places, path, ("Omega0", "Omega_m", "Omega_Matter"))
            + safe.first_number(places, path, ("Omega_nu_0",), default=0.0),
            omega_lambda=safe.first_number(places, path, ("OmegaLambda", "Omega_lambda", "Omega_Lambda")),
            omega_b=safe.first_number(
                places, path, ("OmegaBaryon", "Omega_b", "Omega_Baryon"), default=math.nan
            ),
        )
        self._cosmology = cosmology
        self._redshift = safe.number(header, path, "Redshift")
        box = safe.array(header, path, "BoxSize", longest=3, default=np.zeros(1))
        if not np.all(box == box[0]):
            raise InputError(f"{path}: the box has sides {box.tolist()}: only cubes are understood")
        self._box = float(box[0])
        swift = self._dialect == "swift"
        time = safe.number(header, path, "Scale-factor" if swift else "Time", default=math.nan)
        check_background(path, cosmology, self._redshift, None if math.isnan(time) else time, self._box)
        now, then = (
            safe.first_number(places, path, (f"{name} [internal units]",), default=0.0)
            for name in ("H0", "H")
        )
        ours = cosmology.hubble_km_s_mpc(self._redshift) / (100.0 * cosmology.h)
        if min(now, then) > 0 and abs(then / now / ours - 1.0) > _OTHER_EXPANSION:
            self._assumptions["background"] = (
                f"H(z) / H_0 is {then / now:.4f} in the file, taken as {ours:.4f}, that of stable matter "
                "and a cosmological constant"
            )
        self.mass_table = np.zeros(8)
        table = safe.array(header, path, "MassTable", longest=8, default=np.zeros(6))
        self.mass_table[: len(table)] = table
        self._synthetic = safe.number(header, path, "Synthetic", default=0.0) == 1.0
        self._units = file_units(
            file, path, self._dialect, cosmology, self._redshift, length_unit, self._assumptions
        )
        factors = self._units.factors()
        factors["star_formation_rate"] = 1.0
        factors["velocity"] = self._units.velocity_km_s * (1.0 if swift else (1.0 + self._redshift) ** -0.5)
        self.species_types: Mapping[str, tuple[int, ...]] = SPECIES_TYPES
        self._kernel, support = kernel_of(file, path, self._dialect, self._assumptions)
        factors["smoothing_length"] *= support
        if swift:
            self.species_types = {
                **SPECIES_TYPES,
                "dark_matter": (1, 6),
                "low_resolution": (2,),
                "black_holes": (3, 5),
            }
            if self.count(6):
                self._assumptions["neutrinos"] = "type 6, with their stored masses, counts as dark matter"
            # SWIFT stores the comoving energy: physical = stored / a^2.
            factors["internal_energy"] *= (1.0 + self._redshift) ** 2
            time_s = self._units.length_kpc * (1.0 + self._redshift) * KPC_CM
            time_s /= self._units.velocity_km_s * KM_CM
            factors["star_formation_rate"] = self._units.mass_msun / (time_s / _YEAR_S)
        self.factors: Mapping[str, float] = factors

    def _check_columns(self, file: h5py.File, path: Path, here: NDArray[np.int64]) -> None:
        """Which columns every type has, after checking link, shape and storage of each."""
        for kinds in self.species_types.values():
            for kind in kinds:
                rows = int(here[kind])
                if not rows:
                    continue
                group = safe.group(file, f"PartType{kind}", path)
                found: dict[str, tuple[str, int | None]] = {}
                for name in COLUMNS:
                    if name not in (*NEEDED.get(kind, ("position", "mass")), *self.optional):
                        continue
                    chosen = _find(group, name, path, rows)
                    if chosen is not None:
                        found[name] = chosen
                if "position" not in found:
                    if self._dialect == "arepo" and kind == 3:  # Monte Carlo tracers: no position, no mass
                        here[kind] = 0
                        self._assumptions["tracers"] = "type 3 has no positions: tracers, left out"
                        continue
                    raise InputError(
                        f"{path}: PartType{kind} has {rows} particles but no Coordinates: {safe.holds(group)}"
                    )
                if "mass" not in found and not self.mass_table[kind] > 0:
                    raise InputError(f"{path}: PartType{kind} has neither Masses nor an entry in MassTable")
                before = self._present.setdefault(kind, found)
                if before != found:
                    missing = sorted(set(before) ^ set(found))
                    raise InputError(
                        f"{path}: PartType{kind} differs from {self.path.name} in: {', '.join(missing)}"
                    )


def _find(group: h5py.Group, name: str, path: Path, rows: int) -> tuple[str, int | None] | None:
    """The data set (and its column) that holds a field, checked; None where there is none."""
    for stored, column in COLUMNS[name]:
        folder, _, last = stored.rpartition("/")
        inner = safe.optional_group(group, folder, path)
        if inner is None or inner.get(last, getlink=True) is None:
            continue
        dataset = safe.dataset(inner, last, path, rows)
        if name in ("position", "velocity"):
            if dataset.shape[1:] != (3,):
                raise InputError(f"{path}: {dataset.name} has shape {dataset.shape}, expected ({rows}, 3)")
            return stored, None
        if dataset.ndim == 1:
            if column is None or (column == 0 and name != "hydrogen_fraction"):
                return stored, None
            continue
        if column == 1 and dataset.shape[1] == 1:
            continue
        if column is None or dataset.shape[1] <= column:
            raise InputError(f"{path}: {dataset.name} has shape {dataset.shape}, expected ({rows},)")
        return stored, column
    return None


def _fill_straight(
    path: Path,
    file: h5py.File,
    dataset: h5py.Dataset,
    out: NDArray[np.float32],
    column: int | None,
    origin: NDArray[np.float64],
    first: int,
) -> bool:
    """Read rows of a data set whose bytes lie in one piece just as they are wanted; False where they do not.

    This is what `hdf5_safe.dataset` checked: the piece is inside the file. It spares HDF5's own copying.
    """
    offset = dataset.id.get_offset()
    # Not its dtype: numbers that SWIFT's filters cut to 16 bits are float32 to h5py too.
    single = dataset.id.get_type().equal(h5py.h5t.NATIVE_FLOAT)
    same = single and dataset.shape[1:] == out.shape[1:] and column in (None, 0)
    if not same or offset is None or file.userblock_size or origin.any():
        return False
    with open(path, "rb", buffering=0) as stream:
        stream.seek(offset + first * (out.nbytes // max(len(out), 1)))
        read_exactly(stream, path, out.reshape(-1).data.cast("B"))
    return True


def _fill(
    dataset: h5py.Dataset,
    out: NDArray[np.float32],
    column: int | None,
    origin: NDArray[np.float64],
    first: int,
) -> None:
    """Read rows of a data set into ``out`` in blocks, converting as needed."""
    rows = len(out)
    step = _CHUNK_ROWS
    if dataset.chunks is not None:  # whole chunks, so that none is unpacked twice
        step = max(1, _CHUNK_ROWS // dataset.chunks[0]) * dataset.chunks[0]
    for start in range(0, rows, step):
        block = dataset[first + start : first + min(start + step, rows)]
        if column is not None and block.ndim == 2:
            block = block[:, column]
        if origin.any():
            block = np.asarray(block, np.float64) - origin
        out[start : start + step] = block
