"""Fenced blocks of the documents, so that tests can run what a reader would copy."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Snippet:
    """One fenced block: its language, the rest of the fence line, its text and the line it starts on."""

    language: str
    info: str
    text: str
    line: int


def snippets(document: Path, language: str) -> list[Snippet]:
    """The blocks of ``language`` in a Markdown document, in order."""
    text = document.read_text(encoding="utf-8")
    return [
        Snippet(m[1], m[2].strip(), m[3], text[: m.start()].count("\n") + 1)
        for m in _FENCE.finditer(text)
        if m[1] == language
    ]


def run_shell(text: str, cwd: Path, **environment: str) -> str:
    """Run a shell block, stopping at its first failing line; what it prints."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    result = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text],
        cwd=cwd,
        env={**os.environ, "PATH": path, **environment},
        text=True,
        capture_output=True,
        check=False,
    )
    assert result.returncode == 0, f"{text}\n{result.stdout}\n{result.stderr}"
    return result.stdout


_ONE_INTERPRETER = """
import os, runpy, shlex, sys
for line in sys.stdin.read().replace("\\\\\\n", " ").splitlines():
    words = [os.path.expandvars(word) for word in shlex.split(line, comments=True)]
    if not words:
        continue
    command = words[2:] if words[:2] == ["python", "-m"] else ["three_hundred_maps", *words[1:]]
    assert words[0] in ("python", "three-hundred-maps"), line
    sys.argv = command
    try:
        runpy.run_module(command[0], run_name="__main__", alter_sys=True)
    except SystemExit as stop:
        if stop.code:
            sys.exit(f"{line}: status {stop.code}")
"""


def run_lines(text: str, cwd: Path, **environment: str) -> str:
    """Run a shell block that only calls this project's commands, one after the other in one interpreter.

    Each runs as its ``python -m`` does, but torch is imported once, not once a line.
    """
    result = subprocess.run(
        [sys.executable, "-W", "ignore::RuntimeWarning:runpy", "-c", _ONE_INTERPRETER],
        input=text,
        cwd=cwd,
        env={**os.environ, **environment},
        text=True,
        capture_output=True,
        check=False,
    )
    assert result.returncode == 0, f"{result.stdout}\n{result.stderr}"
    return result.stdout
