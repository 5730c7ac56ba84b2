"""Halo catalogues as text: columns are found by name, whatever their number and order."""

from __future__ import annotations

import glob
import math
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.errors import InputError

_LONGEST_LINE = 1 << 16
_MOST_COMMENTS = 1000
_COLUMN = re.compile(r"^(?P<name>[^()]+?)(\(\d+\))?$")


class TextTable:
    """The columns that are used of one catalogue of one or more files, as text.

    Parameters
    ----------
    names
        Our name of each column: its names in the files, lower case, in order of preference.
    optional
        Those of ours that a catalogue may lack.
    kind
        What the catalogue should be, for messages.
    unlike
        Columns that only another kind of catalogue has, and which.

    Attributes
    ----------
    columns
        Names of all columns, lower case, without the number that some codes add in brackets.
    comments
        The lines that begin with ``#`` after the first.
    """

    def __init__(
        self,
        names: Mapping[str, tuple[str, ...]],
        optional: tuple[str, ...],
        kind: str,
        unlike: Mapping[str, str],
    ) -> None:
        self._names, self._optional, self._kind, self._unlike = names, optional, kind, unlike
        self._path = Path()
        self.columns: list[str] = []
        self.comments: list[str] = []
        self.words: dict[str, list[str]] = {}

    def __len__(self) -> int:
        return len(next(iter(self.words.values()), []))

    def read_all(self, path: str | Path, piece: re.Pattern[str], ending: str) -> Path:
        """Read a catalogue: a file, all those of a parallel run, or those of a pattern or prefix.

        Parameters
        ----------
        piece
            Matches the name of one of several files; its groups are what all of them share.
        ending
            Pattern of what follows a prefix.

        Returns
        -------
        The first file.

        Raises
        ------
        InputError
            Where there is no such catalogue, more than one, or no halo in it.
        """
        path = Path(path)

        def shared(file: Path) -> tuple[str, ...]:
            match = piece.match(file.name)
            return match.groups() if match else (file.name,)

        if path.is_file():
            beside = path.parent.iterdir() if piece.match(path.name) else [path]
            found = sorted(file for file in beside if shared(file) == shared(path))
        else:
            wild = any(sign in str(path) for sign in "*?[")
            pattern = str(path) if wild else f"{glob.escape(str(path))}{ending}"
            found = sorted(file for file in map(Path, glob.glob(pattern)) if file.is_file())
            if not found:
                what = self._kind.partition(" ")[2]
                raise InputError(f"{path}: no {what} here (nothing matches {Path(pattern).name})")
        names = sorted({"".join(shared(file)) for file in found})
        if len(names) > 1:
            raise InputError(f"{path}: {len(names)} different catalogues match: {', '.join(names[:3])}")
        for file in found:
            self.read(file)
        if not len(self):
            raise InputError(f"{found[0]}: the catalogue has no halos")
        return found[0]

    def read(self, path: Path) -> None:
        """Add a file; only the first need name its columns, and none may name others.

        Raises
        ------
        InputError
            Naming the line that is not of a catalogue.
        """
        self._path = self._path if self.columns else path
        wanted: dict[str, int] = {}
        try:
            with open(path, encoding="ascii", newline="\n") as stream:
                for number, line in enumerate(iter(lambda: stream.readline(_LONGEST_LINE), "")):
                    if not line.endswith("\n"):
                        raise InputError(f"{path}: line {number + 1} has no end: the file was cut short")
                    if line.startswith("#"):
                        self._heading(path, number, line)
                        continue
                    words = line.split()
                    if not words:
                        continue
                    if not self.columns:
                        break
                    wanted = wanted or {name: self._place(name) for name in self._names if self._has(name)}
                    if len(words) != len(self.columns):
                        raise InputError(
                            f"{path}: line {number + 1} has {len(words)} columns, the first names "
                            f"{len(self.columns)}: damaged"
                        )
                    for name, place in wanted.items():
                        self.words.setdefault(name, []).append(words[place])
        except UnicodeDecodeError:
            raise InputError(f"{path}: this is not a text file: {self._kind} was expected") from None
        if not self.columns:
            raise InputError(f"{path}: the first line does not name the columns (#ID ...): {self._kind}?")

    def _heading(self, path: Path, number: int, line: str) -> None:
        if number:
            if len(self.comments) < _MOST_COMMENTS:
                self.comments.append(line.strip())
            return
        matches = [_COLUMN.match(word) for word in line.lstrip("#").split()]
        found = [match["name"].lower() if match else "?" for match in matches]
        if self.columns and found != self.columns:
            raise InputError(f"{path}: has other columns than the first file of this catalogue")
        for name in found:
            if name in self._unlike:
                raise InputError(
                    f"{path}: the column {name} is of another kind of catalogue, {self._kind} was expected: "
                    f"write kind: {self._unlike[name]}"
                )
        self.columns = found

    def _has(self, name: str) -> bool:
        return name not in self._optional or any(given in self.columns for given in self._names[name])

    def _place(self, name: str) -> int:
        for given in self._names[name]:
            if given in self.columns:
                return self.columns.index(given)
        raise InputError(
            f"{self._path}: no column {self._names[name][0]!r} among {', '.join(self.columns[:12])}, ..."
        )

    def numbers(self, name: str) -> NDArray[np.float64]:
        """(n,) a column; where it is optional, NaN for what is no finite number."""
        try:
            values = np.array([float(word) for word in self.words[name]])
        except ValueError as error:
            raise InputError(f"{self._path}: column {name}: {error}: damaged") from None
        if name in self._optional:
            return np.where(np.isfinite(values), values, math.nan)
        if not np.isfinite(values).all():
            raise InputError(f"{self._path}: column {name} holds a number that is not finite")
        return values

    def integers(self, name: str) -> NDArray[np.int64]:
        """(n,) a column of identifiers: they run to 19 digits, more than a float64 holds."""
        try:
            numbers = [int(word) for word in self.words[name]]
            return np.array([n - (1 << 64) if 1 << 63 <= n < 1 << 64 else n for n in numbers], np.int64)
        except (ValueError, OverflowError):
            raise InputError(
                f"{self._path}: column {name} holds something that is not a whole number: damaged"
            ) from None
