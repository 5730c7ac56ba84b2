"""Untrusted text: which may stand in a submission or a result, and how any is shown on one line."""

from __future__ import annotations

import functools
import unicodedata

from confusable_homoglyphs import confusables
from pydantic import ValidationError

_JOINERS = "\u200c\u200d"
"""Invisible, but part of how Persian, Indic scripts and emoji are written."""
_FORBIDDEN = {
    "Cc": "control characters",
    "Cf": "invisible characters or such that turn the direction of writing",
    "Cs": "half of a surrogate pair",
    "Co": "characters of private use",
    "Zl": "separators of lines",
    "Zp": "separators of paragraphs",
}
_INVISIBLE = ("Z", "C", "M")
MOST_PROBLEMS = 1000


def text_problem(value: str, *, lines: bool = False) -> str | None:
    """What keeps a text from being shown; None where nothing does. ``lines``: it may have several."""
    if not value.strip():
        return "must not be empty"
    for character in value:
        what = _FORBIDDEN.get(unicodedata.category(character))
        if what is None or character in _JOINERS or (lines and character in "\n\t"):
            continue
        return f"holds {what} (U+{ord(character):04X})"
    if all(unicodedata.category(character)[0] in _INVISIBLE for character in value):
        return "holds nothing that can be seen"
    return None


def shown(value: object, limit: int = 120) -> str:
    """Any value as a piece of one line: cut, and with what cannot be printed spelt out."""
    text = str(value)[: limit + 1]
    cut = text[:limit] + ("…" if len(text) > limit else "")
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in cut)


def skeleton(text: str) -> str:
    """What a text looks like: two names of one skeleton cannot be told apart by eye (Unicode TR 39)."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join("".join(map(_latin, folded)).split())


@functools.lru_cache(maxsize=4096)
def _latin(character: str) -> str:
    """The Latin letter that a character of another script looks like, else the character."""
    if character.isascii():
        return character
    found = confusables.is_confusable(character, preferred_aliases=["latin"]) or [{"homoglyphs": []}]
    looks = [h["c"] for h in found[0]["homoglyphs"] if h["c"].isascii()]
    return min(looks, default=character)


def field_problems(error: ValidationError) -> list[str]:
    """What a pydantic model found wrong with an untrusted object, one line a field; no value is repeated."""
    if error.error_count() > MOST_PROBLEMS:
        # To word millions of them takes gigabytes.
        return [f"{error.error_count():,} fields are missing, unknown or of another type"]
    problems = []
    for found in error.errors(include_input=False, include_url=False):
        where = ".".join(shown(part, 40) for part in found["loc"])
        what = "is missing" if found["type"] == "missing" else found["msg"].removeprefix("Value error, ")
        problems.append(f"{where!r} {what[0].lower()}{what[1:]}" if where else what)
    return problems
