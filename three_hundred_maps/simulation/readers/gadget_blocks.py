"""The chain of records of one Gadget binary file: header, blocks, names; nothing large is read here."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.errors import InputError

HEADER_BYTES = 256
SYNTHETIC_MARK = b"SYNTHETIC"
"""At the end of a header, in bytes that codes leave empty: the particles are not of a simulation code."""

# Block of each column, and the types that may have it, in the order in which they lie in the block.
BLOCKS: Mapping[str, tuple[str, tuple[int, ...]]] = {
    "position": ("POS", (0, 1, 2, 3, 4, 5)),
    "velocity": ("VEL", (0, 1, 2, 3, 4, 5)),
    "mass": ("MASS", (0, 1, 2, 3, 4, 5)),
    "internal_energy": ("U", (0,)),
    "density": ("RHO", (0,)),
    "electron_abundance": ("NE", (0,)),
    "smoothing_length": ("HSML", (0,)),
    "star_formation_rate": ("SFR", (0,)),
    "metallicity": ("Z", (0, 4)),
    "helium_mass": ("ZS", (0, 4)),
    "delay_time": ("DTIM", (0,)),
    "temperature": ("TEMP", (0,)),
    "formation_time": ("AGE", (4,)),
}
READ_BLOCKS = frozenset(block for block, _ in BLOCKS.values()) - {"VEL", "AGE"}
"""Those that are read of every snapshot."""
_SPELLING = {"ZS": "Zs"}
"""Labels that are not in capitals."""

_MOST_BLOCKS = 1000
_LAYOUT = "6I6d2d2i6I2i4d2i6I"


@dataclass(frozen=True)
class Header:
    """The header of one file; ``order`` is ``<`` or ``>``, lengths in the file's unit."""

    here: NDArray[np.int64]
    mass_table: tuple[float, ...]
    time: float
    redshift: float
    star_formation: bool
    cooling: bool
    total: NDArray[np.int64]
    num_files: int
    box: float
    omega_m: float
    omega_lambda: float
    h: float
    synthetic: bool
    order: str


@dataclass(frozen=True)
class Block:
    """The data of one record."""

    offset: int
    nbytes: int


def read_header(stream: BinaryIO, path: Path, size: int) -> tuple[Header, bool]:
    """The header of a file, and whether its blocks are labelled (format 2)."""
    start = stream.read(4)
    labelled, order = False, ""
    for candidate in "<>":
        if len(start) == 4:
            (length,) = struct.unpack(f"{candidate}I", start)
            if length in (8, HEADER_BYTES):
                labelled, order = length == 8, candidate
    if not order:
        raise InputError(f"{path}: neither HDF5 nor a Gadget binary file of format 1 or 2")
    where = 0
    if labelled:
        name, where = _label(stream, path, size, 0, order)
        if name != "HEAD":
            raise InputError(f"{path}: the first block is {name!r}, expected HEAD")
    block = _record(stream, path, size, where, order, "HEAD")
    if block.nbytes != HEADER_BYTES:
        raise InputError(f"{path}: the header has {block.nbytes} bytes, expected {HEADER_BYTES}")
    stream.seek(block.offset)
    packed = stream.read(HEADER_BYTES)
    values = struct.unpack_from(f"{order}{_LAYOUT}", packed)
    here, table = values[0:6], values[6:12]
    total = np.array(values[16:22], np.int64) + (np.array(values[30:36], np.int64) << 32)
    if (np.array(values[30:36]) > 2**20).any():
        raise InputError(f"{path}: the header counts more particles than any simulation has: damaged")
    numbers = (*table, *values[12:14], *values[24:28])
    if not all(math.isfinite(value) for value in numbers) or min(table) < 0:
        raise InputError(f"{path}: the header holds numbers that are not finite, or negative masses: damaged")
    if sum(here) * 12 > size:
        raise InputError(
            f"{path}: the header counts {sum(here)} particles, more than the file of {size} bytes can hold: "
            "truncated or damaged"
        )
    header = Header(
        here=np.array(here, np.int64),
        mass_table=tuple(float(value) for value in table),
        time=values[12],
        redshift=values[13],
        star_formation=bool(values[14]),
        cooling=bool(values[22]),
        total=total if total.any() else np.array(here, np.int64),
        num_files=max(int(values[23]), 1),
        box=values[24],
        omega_m=values[25],
        omega_lambda=values[26],
        h=values[27],
        synthetic=packed.endswith(SYNTHETIC_MARK),
        order=order,
    )
    return header, labelled


def read_chain(stream: BinaryIO, path: Path, size: int, header: Header, labelled: bool) -> dict[str, Block]:
    """All blocks after the header, by upper-case name; in format 1 by their number: "0", "1", ...

    Labels may be blank, repeat, or differ in case alone: of those that are read, the usual spelling counts.
    """
    where = HEADER_BYTES + 8 + (16 if labelled else 0)
    chain: dict[str, Block] = {}
    spelt: dict[str, str] = {}
    number = 0
    while where < size:
        if number >= _MOST_BLOCKS:
            raise InputError(f"{path}: over {_MOST_BLOCKS} blocks: not a Gadget binary file, or damaged")
        label = str(number)
        if labelled:
            label, where = _label(stream, path, size, where, header.order)
        block = _record(stream, path, size, where, header.order, label)
        name = label.upper()
        if name not in chain or (label == _SPELLING.get(name, name) and label != spelt[name]):
            chain[name], spelt[name] = block, label
        elif name in READ_BLOCKS and label == spelt[name]:
            raise InputError(f"{path}: block {label} occurs twice")
        where = block.offset + block.nbytes + 4
        number += 1
    return chain


def _label(stream: BinaryIO, path: Path, size: int, where: int, order: str) -> tuple[str, int]:
    """Name of the labelled block at ``where``, and where its data record begins."""
    if where + 16 > size:
        raise InputError(f"{path}: the file ends within a block's label at byte {where}: truncated")
    stream.seek(where)
    first, raw, _, last = struct.unpack(f"{order}I4sII", stream.read(16))
    if first != 8 or last != 8:
        raise InputError(f"{path}: the block's label at byte {where} has wrong length markers: damaged")
    try:
        return raw.decode("ascii").strip("\0 "), where + 16
    except UnicodeDecodeError:
        raise InputError(
            f"{path}: the block's label at byte {where} is {raw!r}, not a name: damaged"
        ) from None


def _record(stream: BinaryIO, path: Path, size: int, where: int, order: str, name: str) -> Block:
    """The record at ``where``; its two length markers must agree.

    Markers have 32 bits: codes that write records over 4 GiB let them wrap, so a length is tried with as
    many multiples of 2^32 as the file has room for.
    """
    if where + 8 > size:
        raise InputError(f"{path}: the file ends within block {name} at byte {where}: truncated")
    stream.seek(where)
    (marker,) = struct.unpack(f"{order}I", stream.read(4))
    length = marker
    while where + 8 + length <= size:
        stream.seek(where + 4 + length)
        (last,) = struct.unpack(f"{order}I", stream.read(4))
        if last == marker:
            return Block(where + 4, length)
        length += 1 << 32
    if where + 8 + marker > size:
        raise InputError(
            f"{path}: block {name} at byte {where} claims {marker} bytes, the file has "
            f"{size - where - 8} left: truncated or damaged"
        )
    raise InputError(f"{path}: the two length markers of block {name} at byte {where} differ: damaged")


def name_by_order(
    files: Sequence[Path], headers: Sequence[Header], chains: Sequence[Mapping[str, Block]]
) -> tuple[list[dict[str, Block]], dict[str, str]]:
    """Name the blocks of the files of a format-1 set; what was concluded from contents is said in words.

    POS VEL ID (MASS) U RHO come first in every code. After them GADGET-2 and 3 write (NE NH) HSML (SFR),
    others leave some out: the smoothing lengths are the block whose spheres hold the same number of
    particles everywhere, what is between the density and them are NE and NH, what follows them is SFR where
    the header says so. The file with most gas decides for all. Blocks that stay unknown are not used.
    """
    leading = [_leading(*item) for item in zip(files, headers, chains, strict=True)]
    richest = max(range(len(files)), key=lambda number: int(headers[number].here[0]))
    named, rest = leading[richest]
    with open(files[richest], "rb") as stream:
        place = _find_smoothing(stream, headers[richest], named, rest) if rest else None
    if place is None:
        said = "format 1 has no names, no smoothing lengths were recognised: blocks after RHO unused"
        return [part for part, _ in leading], {"blocks": said} if rest else {}
    for header, (part, unnamed) in zip(headers, leading, strict=True):
        names = ["HSML"] if place == 0 else ["NE", "NH"][:place] + ["?"] * (place - 2) + ["HSML"]
        names += ["SFR"] * header.star_formation
        part.update((name, block) for name, block in zip(names, unnamed, strict=False) if name != "?")
    return [part for part, _ in leading], {
        "blocks": f"format 1 has no block names, by order and content: {' '.join(named)}"
    }


def _leading(path: Path, header: Header, chain: Mapping[str, Block]) -> tuple[dict[str, Block], list[Block]]:
    """The blocks whose place says what they are, by name, and those after them that may be of the gas."""
    blocks = list(chain.values())
    here, gas = header.here, int(header.here[0])
    with_mass = int(sum(n for n, m in zip(here, header.mass_table, strict=True) if n and m == 0.0))
    expected = [("POS", int(here.sum()), 3), ("VEL", int(here.sum()), 3), ("ID", int(here.sum()), 1)]
    expected += [("MASS", with_mass, 1)] * bool(with_mass) + [("U", gas, 1), ("RHO", gas, 1)] * bool(gas)
    for (name, rows, width), block in zip(expected, blocks, strict=False):
        if block.nbytes not in (rows * width * 4, rows * width * 8):
            raise InputError(
                f"{path}: the block in the place of {name} has {block.nbytes} bytes, expected "
                f"{rows * width * 4}: not the order of a format-1 snapshot, or damaged"
            )
    if len(blocks) < len(expected):
        missing = [name for name, _, _ in expected[len(blocks) :]]
        raise InputError(f"{path}: no block {', '.join(missing)}: the file is cut short")
    named = {name: block for (name, _, _), block in zip(expected, blocks, strict=False)}
    rest = [block for block in blocks[len(expected) :] if gas and block.nbytes == named["RHO"].nbytes]
    return named, rest


def _find_smoothing(
    stream: BinaryIO, header: Header, named: Mapping[str, Block], rest: list[Block]
) -> int | None:
    """Which block holds smoothing lengths: 4/3 pi h^3 rho / m is the same for nearly all particles."""
    gas = int(header.here[0])
    holders = int(sum(n for n, m in zip(header.here, header.mass_table, strict=True) if m == 0.0))

    def sample(block: Block, rows: int) -> NDArray[np.float64]:
        number = np.dtype(f"{header.order}f{block.nbytes // rows}")
        stream.seek(block.offset)
        return np.frombuffer(stream.read(number.itemsize * min(gas, 4096)), number).astype(np.float64)

    density = sample(named["RHO"], gas)
    mass = header.mass_table[0] or sample(named["MASS"], holders)
    for place, block in enumerate(rest[:3]):
        with np.errstate(all="ignore"):
            held = 4.0 / 3.0 * math.pi * sample(block, gas) ** 3 * density / mass
        if not np.isfinite(held).all():
            continue
        low, middle, high = np.percentile(held, [16, 50, 84])
        if 4.0 < middle < 1000.0 and high < 2.0 * low:
            return place
    return None
