"""What tests of several folders do to files and commands."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

AXE = "axe-core@4.10.3"


def command(
    main: Callable[[list[str]], object], *words: object, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command in this process: its exit status and what it printed."""
    out, err, given = io.StringIO(), io.StringIO(), [str(word) for word in words]
    place = contextlib.chdir(cwd) if cwd else contextlib.nullcontext()
    printed = contextlib.redirect_stdout(out), contextlib.redirect_stderr(err)
    with place, printed[0], printed[1], pytest.raises(SystemExit) as ended:
        main(given)
    return subprocess.CompletedProcess(given, int(ended.value.code or 0), out.getvalue(), err.getvalue())


def refused(main: Callable[[list[str]], object], *words: object, said: str, cwd: Path | None = None) -> None:
    """A command that must end with status 2 and one line, which says this."""
    done = command(main, *words, cwd=cwd)
    assert done.returncode == 2, done
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1 and said in done.stderr, done


def submitted(folder: Path, maps: Any = None, **fields: Any) -> Path:
    """Write a submission whose texts are of no matter."""
    from benchmarks.submissions import write_submission

    texts = {"name": "n", "authors": ["a"], "task": "mass-map", "track": "sz"}
    return write_submission(folder, **{**texts, "maps": maps, **fields})


def restated(folder: Path, **fields: Any) -> Path:
    """A submission whose manifest says other things, and nothing of its checksum."""
    path = folder / "submission.json"
    content = {**json.loads(path.read_text()), "predictions_sha256": None, **fields}
    path.write_text(json.dumps(content))
    return folder


def hashes(store: Path) -> dict[str, str]:
    """sha256 of every file but the provenance."""
    return {
        path.relative_to(store).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(store.rglob("*"))
        if path.is_file() and path.name != "provenance.json"
    }


def flip(file: Path, place: int | None = None) -> None:
    """Change a bit of the byte at ``place``, by default in the middle."""
    data = bytearray(file.read_bytes())
    data[len(data) // 2 if place is None else place] ^= 1
    file.write_bytes(data)


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """A few flipped bits, or a cut."""
    if rng.random() < 0.2:
        return data[: rng.integers(len(data))]
    broken = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        broken[rng.integers(len(broken))] ^= 1 << int(rng.integers(8))
    return bytes(broken)


def fetch_axe(folder: Path) -> str:
    """axe-core, fetched through npm, as JavaScript."""
    npm = shutil.which("npm")
    assert npm is not None, "this test fetches axe-core with npm"
    subprocess.run([npm, "pack", AXE, "--silent"], cwd=folder, check=True, env={**os.environ, "CI": "1"})
    shutil.unpack_archive(next(folder.glob("*.tgz")), folder)
    return (folder / "package" / "axe.min.js").read_text()


def settings_of(words: Sequence[str]) -> Any:
    """The settings that ``baselines.unet ...`` stands for."""
    from baselines.settings import Parser, add_settings, merge  # imports torch

    parser = Parser()
    for option in ("--out", "--preset", "--name"):
        parser.add_argument(option)
    for option in ("--quiet", "--plain"):
        parser.add_argument(option, action="store_true")
    add_settings(parser)
    options = vars(parser.parse_args(words[1:]))
    preset, plain = options["preset"], options["plain"]
    for name in ("out", "preset", "name", "quiet", "plain"):
        options.pop(name)
    return merge(options, config=None, preset=preset, plain=plain)
