"""Gadget binary snapshots, with GADGET-X's block names."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.simulation.writers.content import (
    SOLAR_SHARES,
    ParticleData,
    SnapshotHeader,
    counts,
    part_of,
    renamed_into_place,
)

# The marks stand in the unused bytes that fill the header up to 256, where codes write zeros.
SYNTHETIC_MARK = b"SYNTHETIC"
_ORDER = ("POS", "VEL", "ID", "MASS", "U", "RHO", "NE", "NH", "HSML", "SFR", "AGE", "Z", "Zs", "TEMP")
"""Blocks as they follow one another in a file."""
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
        SFR AGE Z Zs TEMP.
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
    if format not in (1, 2):
        raise ValueError(f"Gadget binary format {format!r}: 1 or 2")
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
    velocity = 1.0 / np.sqrt(header.time)
    real = np.dtype(position_dtype).newbyteorder(order)
    single = np.dtype(np.float32).newbyteorder(order)

    def scaled(field: str, kinds: tuple[int, ...], factor: float, dtype: np.dtype[Any]) -> list[NDArray[Any]]:
        return [
            np.asarray(particles[kind][field]).astype(dtype)
            if factor == 1.0
            else (np.asarray(particles[kind][field], np.float64) * factor).astype(dtype)
            for kind in kinds
            if field in particles.get(kind, {})
        ]

    def ids() -> list[NDArray[Any]]:
        return [
            np.asarray(particles[kind]["id"]).astype(np.dtype(id_dtype).newbyteorder(order))
            for kind in everyone
            if "id" in particles.get(kind, {})
        ]

    def elements() -> list[NDArray[Any]]:
        return [_element_masses(particles[k], single) for k in (0, 4) if _has_zs(particles, k)]

    everyone = tuple(range(6))
    gas_only = (0,)
    # Each block is made only when it is written: a snapshot may fill half of the memory.
    blocks: list[tuple[str, tuple[int, ...], str, Callable[[], list[NDArray[Any]]]]] = [
        ("ID", everyone, "id", ids),
        ("Zs", tuple(k for k in (0, 4) if _has_zs(particles, k)), "metallicity", elements),
    ]
    for name, kinds, field, factor, dtype in (
        ("POS", everyone, "position", length, real),
        ("VEL", everyone, "velocity", velocity, single),
        ("MASS", everyone, "mass", 1.0, single),
        ("U", gas_only, "internal_energy", 1.0, single),
        ("RHO", gas_only, "density", length**-3, single),
        ("NE", gas_only, "electron_abundance", 1.0, single),
        ("NH", gas_only, "neutral_fraction", 1.0, single),
        ("HSML", gas_only, "smoothing_length", length, single),
        ("SFR", gas_only, "star_formation_rate", 1.0, single),
        ("AGE", (4,), "formation_time", 1.0, single),
        ("Z", (0, 4), "metallicity", 1.0, single),
        ("TEMP", gas_only, "temperature", 1.0, single),
    ):
        blocks.append((name, kinds, field, partial(scaled, field, kinds, factor, dtype)))
    blocks.sort(key=lambda block: _ORDER.index(block[0]))

    for kind in everyone:
        has_mass = "mass" in particles.get(kind, {})
        if here[kind] and not has_mass and header.mass_table[kind] <= 0:
            raise ValueError(f"type {kind}: neither masses nor an entry in the mass table")
        if here[kind] and has_mass and header.mass_table[kind] > 0:
            raise ValueError(f"type {kind}: both masses and an entry in the mass table")
    present = {
        name
        for name, kinds, field, _ in blocks
        if any(len(particles.get(k, {}).get(field, ())) for k in kinds)
    }
    with open(path, "wb") as stream:
        _block(stream, "HEAD", [_header_bytes(header, here, total, order, files, present)], format, order)
        for name, _, _, make in blocks:
            if name in present:
                _block(stream, name, make(), format, order)


def _has_zs(particles: Mapping[int, Mapping[str, NDArray[Any]]], kind: int) -> bool:
    fields = particles.get(kind, {})
    return "helium_fraction" in fields and "metallicity" in fields and "mass" in fields


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
    return np.frombuffer(packed.ljust(256 - len(mark), b"\0") + mark, np.uint8)


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
