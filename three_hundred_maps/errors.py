"""The one kind of error a user's input can cause."""

from __future__ import annotations


class InputError(ValueError):
    """What a user gave cannot be used.

    The message is one line that says what is wrong, where, and what to do about it. Commands print it
    as ``error: ...`` and end with exit status 2; in Python it is raised as it is.
    """

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(str(message).split()))
