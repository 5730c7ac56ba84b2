"""Gadget binary snapshots, with GADGET-X's block names."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.io import renamed_into_place
from three_hundred_maps.simulation.readers.gadget_blocks import HEADER_BYTES, SYNTHETIC_MARK
from three_hundred_maps.simulation.writers.content import (
    SOLAR_SHARES,
    ParticleData,
    SnapshotHeader,
    counts,
    part_of,
)

_EVERYONE, _GAS = tuple(range(6)), (0,)
_BLOCKS = (
    ("POS", _EVERYONE, "position"),
    ("VEL", _EVERYONE, "velocity"),
    ("ID", _EVERYONE, "id"),
    ("MASS", _EVERYONE, "mass"),
    ("U", _GAS, "internal_energy"),
    ("RHO", _GAS, "density"),
    ("NE", _GAS, "electron_abundance"),
    ("NH", _GAS, "neutral_fraction"),
    ("HSML", _GAS, "smoothing_length"),
    ("SFR", _GAS, "star_formation_rate"),
    ("AGE", (4,), "formation_time"),
    ("Z", (0, 4), "metallicity"),
    ("Zs", (0, 4), "metallicity"),
    ("TEMP", _GAS, "temperature"),
    ("DTIM", _GAS, "delay_time"),
)
"""Blocks as they follow one another in a file: the types that may have one, and the field."""
_ROWS = 1 << 16
_ZS_ELEMENTS = ("He", "C", "Ca", "O", "N", "Ne", "Mg", "S", "Si", "Fe", "rest")


def write_gadget(
    path: str | Path,
    header: SnapshotHeader,
    particles: ParticleData,
    *,
    format: int = 2,
    byteorder: Literal["little", "big"] = "little",
    files: int = 1,
    position_dtype: type = np.float32,
    id_dtype: type = np.uint32,
) -> list[Path]:
    """Write a Gadget binary snapshot, format 1 or 2, with GADGET-X's block names.

    Parameters
    ----------
    path
        The file; with ``files > 1`` it becomes a set ``NAME.0``, ``NAME.1``, ...
    header, particles
        See the module's text. Blocks written where a type has the field: POS VEL ID MASS U RHO NE NH HSML
        SFR AGE Z Zs TEMP DTIM.
    format
        2 (every block is labelled) or 1 (blocks are known by their order).
    byteorder
        ``little`` or ``big``.
    files
        How many files the snapshot is split into.
    position_dtype, id_dtype
        float32 or float64, uint32 or uint64.

    Returns
    -------
    list of Path
        The files written.
    """
    path = Path(path)
    order: Literal["<", ">"] = "<" if byteorder == "little" else ">"
    total = counts(particles)
    written = []
    for part in range(files):
        name = path if files == 1 else path.with_name(f"{path.name}.{part}")
        chosen = part_of(particles, part, files)
        with renamed_into_place(name) as partial:
            _write_one(partial, header, chosen, total, format, order, files, position_dtype, id_dtype)
        written.append(name)
    return written


def _write_one(
    path: Path,
    header: SnapshotHeader,
    particles: Mapping[int, Mapping[str, NDArray[Any]]],
    total: NDArray[np.int64],
    format: int,
    order: Literal["<", ">"],
    files: int,
    position_dtype: type,
    id_dtype: type,
) -> None:
    """Write one file: ``total`` are the particle numbers of the whole set, ``order`` is ``<`` or ``>``."""
    here = counts(particles)
    length = {"kpc/h": 1.0, "Mpc/h": 1e-3}[header.length_unit]
    factors = {
        "position": length,
        "velocity": 1.0 / np.sqrt(header.time),
        "density": length**-3,
        "smoothing_length": length,
    }
    dtypes: dict[str, Any] = {"position": position_dtype, "id": id_dtype}
    blocks = {
        name: [
            particles[kind]
            for kind in kinds
            if len(particles.get(kind, {}).get(field, ()))
            and (name != "Zs" or {"helium_fraction", "metallicity", "mass"} <= set(particles[kind]))
        ]
        for name, kinds, field in _BLOCKS
    }
    present = {name for name, holders in blocks.items() if holders}
    with open(path, "wb") as stream:
        _block(stream, "HEAD", [_header_bytes(header, here, total, order, files, present)], format, order)
        # Each block is made only when it is written: a snapshot may fill half of the memory.
        for name, _, field in _BLOCKS:
            if name in present:
                dtype = np.dtype(dtypes.get(field, np.float32)).newbyteorder(order)
                factor = factors.get(field, 1.0)
                parts = [_stored(fields, name, field, factor, dtype) for fields in blocks[name]]
                _block(stream, name, parts, format, order)


def _stored(
    fields: Mapping[str, NDArray[Any]], name: str, field: str, factor: float, dtype: np.dtype[Any]
) -> NDArray[Any]:
    if name == "Zs":
        return _element_masses(fields, dtype)
    values = np.asarray(fields[field])
    return (values if factor == 1.0 else values.astype(np.float64) * factor).astype(dtype)


def _element_masses(fields: Mapping[str, NDArray[Any]], dtype: np.dtype[Any]) -> NDArray[Any]:
    """GADGET-X's Zs: (n, 11) masses of He, C, Ca, O, N, Ne, Mg, S, Si, Fe and the rest, in mass units."""
    shares = [SOLAR_SHARES.get(name, 0.0) for name in _ZS_ELEMENTS[1:-1]]
    shares = [*shares, 1.0 - sum(shares)]
    out = np.empty((len(fields["mass"]), len(_ZS_ELEMENTS)), dtype)
    for first in range(0, len(out), _ROWS):  # eleven float64 columns of a whole region fill the memory
        rows = slice(first, first + _ROWS)
        mass = np.asarray(fields["mass"][rows], np.float64)
        metals = np.asarray(fields["metallicity"][rows], np.float64)
        out[rows, 0] = np.asarray(fields["helium_fraction"][rows], np.float64) * mass
        out[rows, 1:] = metals[:, None] * shares * mass[:, None]
    return out


def _header_bytes(
    header: SnapshotHeader,
    here: NDArray[np.int64],
    total: NDArray[np.int64],
    order: str,
    files: int,
    present: set[str],
) -> NDArray[np.uint8]:
    length = {"kpc/h": 1.0, "Mpc/h": 1e-3}[header.length_unit]
    cosmology = header.cosmology
    packed = struct.pack(
        f"{order}6I6d2d2i6I2i4d2i6I",
        *here.tolist(),
        *header.mass_table,
        header.time,
        header.redshift,
        int("SFR" in present),
        int("SFR" in present),
        *(total & 0xFFFFFFFF).tolist(),
        int("NE" in present),
        files,
        header.box_size * length,
        cosmology.omega_m,
        cosmology.omega_lambda,
        cosmology.h,
        int("AGE" in present),
        int("Z" in present),
        *(total >> 32).tolist(),
    )
    mark = SYNTHETIC_MARK if header.extra.get("Synthetic") else b""
    if mark and "SyntheticSeed" in header.extra:
        # the generator's version and seed stand right before the mark: uint32 and uint64
        version, seed = int(header.extra.get("SyntheticVersion", 0)), int(header.extra["SyntheticSeed"])
        mark = struct.pack(f"{order}IQ", version, seed & 0xFFFFFFFFFFFFFFFF) + mark
    return np.frombuffer(packed.ljust(HEADER_BYTES - len(mark), b"\0") + mark, np.uint8)


def _block(stream: BinaryIO, name: str, parts: list[NDArray[Any]], format: int, order: str) -> None:
    size = sum(part.nbytes for part in parts)
    if size >= 1 << 32:
        raise ValueError(f"block {name} has {size} bytes, over 4 GiB: write more files")
    marker = struct.pack(f"{order}I", size)
    if format == 2:
        label = struct.pack(f"{order}I4sII", 8, name.ljust(4).encode("ascii"), size + 8, 8)
        stream.write(label)
    stream.write(marker)
    for part in parts:
        stream.write(np.ascontiguousarray(part).data if part.size else b"")
    stream.write(marker)
