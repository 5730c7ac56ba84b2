"""Tables: arrays of as many rows, in a tuple, mapping or dataclass, which may hold tables themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

import numpy as np

Table = TypeVar("Table")


def take(table: Table, rows: Any) -> Table:
    """Those of ``rows`` (a mask, indices or a slice); what of a dataclass is no table stays as it is."""
    if isinstance(table, np.ndarray):
        return table[rows]
    if isinstance(table, Mapping):
        return {name: take(part, rows) for name, part in table.items()}  # type: ignore[return-value]
    if isinstance(table, tuple):
        return tuple(take(part, rows) for part in table)  # type: ignore[return-value]
    if is_dataclass(table):
        return replace(table, **{f.name: take(getattr(table, f.name), rows) for f in fields(table)})  # type: ignore[type-var]
    return table


def join(tables: Sequence[Table]) -> Table:
    """Tables of the same kind (at least one) one after the other."""
    first: Any = tables[0]
    if isinstance(first, np.ndarray):
        return np.concatenate(tables)  # type: ignore[arg-type, return-value]
    if isinstance(first, Mapping):
        return {name: join([table[name] for table in tables]) for name in first}  # type: ignore[index, return-value]
    if isinstance(first, tuple):
        return tuple(join(parts) for parts in zip(*tables, strict=True))  # type: ignore[return-value]
    return type(first)(**{f.name: join([getattr(table, f.name) for table in tables]) for f in fields(first)})
