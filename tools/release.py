"""A release, ready to be sent: ``python -m tools.release`` (``make release``).

Builds the source distribution and the wheel into ``dist/``, checks them as the index would (twine), looks
into the wheel and runs it in clean environments (``tests/wheel_check.py``), and writes ``dist/notes.md``, the
text of the release, from ``CHANGELOG.md``. It sends nothing; ``docs/release.md`` says how that is done.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from baselines.command import command_line
from baselines.settings import Parser
from three_hundred_maps._version import __version__
from three_hundred_maps.errors import InputError
from three_hundred_maps.io import write_bytes

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "dist"


def notes(changelog: str, version: str) -> str:
    """The section of a version in the changelog, without its heading.

    Raises
    ------
    InputError
        Where the changelog does not begin with this version, or says nothing of it.
    """
    sections = re.split(r"^## (\S+) \((\d{4}-\d\d-\d\d)\)$", changelog, flags=re.MULTILINE)[1:]
    if not sections or sections[0] != version:
        raise InputError(f"CHANGELOG.md begins with {sections[:1] or 'nothing'}, the package is {version}")
    text = sections[2].strip()
    if not text:
        raise InputError(f"CHANGELOG.md says nothing of {version}")
    return text + "\n"


def disagreements(citation: dict[str, Any], zenodo: dict[str, Any], version: str, day: str) -> list[str]:
    """Where ``CITATION.cff`` and ``.zenodo.json`` differ from each other, or from the version and its day."""
    said = {
        "version": (citation["version"], version),
        "date-released": (str(citation["date-released"]), day),
        "title": (zenodo["title"], citation["title"]),
        "license": (zenodo["license"], citation["license"]),
        "keywords": (zenodo["keywords"], citation["keywords"]),
        "authors": (
            [creator["name"] for creator in zenodo["creators"]],
            [author["name"] for author in citation["authors"]],
        ),
        "doi": (
            [r["identifier"] for r in zenodo["related_identifiers"]],
            [r["doi"] for r in citation["references"] if "doi" in r],
        ),
    }
    return [f"{name}: {a!r}, expected {b!r}" for name, (a, b) in said.items() if a != b]


def check_texts(root: Path = ROOT) -> str:
    """The notes of this version, once the files that state it agree; else InputError with what differs."""
    changelog = (root / "CHANGELOG.md").read_text("utf-8")
    text = notes(changelog, __version__)
    day = re.search(rf"^## {re.escape(__version__)} \((.*)\)$", changelog, re.MULTILINE)
    assert day is not None
    citation = yaml.safe_load((root / "CITATION.cff").read_text("utf-8"))
    zenodo = json.loads((root / ".zenodo.json").read_text("utf-8"))
    problems = disagreements(citation, zenodo, __version__, day[1])
    if problems:
        raise InputError("CITATION.cff and .zenodo.json: " + "; ".join(problems))
    return text


@command_line
def main(args: list[str]) -> None:
    """Check, build, check again."""
    Parser(prog="python -m tools.release", description=__doc__).parse_args(args)
    text = check_texts()
    if DIST.exists() and any(DIST.iterdir()):
        raise InputError(f"{DIST} holds files of another build; remove them first")
    command = [sys.executable, str(ROOT / "tests" / "wheel_check.py"), str(DIST)]
    built = subprocess.run(command, check=False).returncode
    if not built:
        files = sorted(str(path) for path in DIST.iterdir())
        built = subprocess.run(
            [sys.executable, "-m", "twine", "check", "--strict", *files], check=False
        ).returncode
    if built:
        raise InputError("the release is not ready: see above")
    write_bytes(DIST / "notes.md", text.encode())
    print(f"{__version__} is ready in {DIST}; docs/release.md says how it is sent")


if __name__ == "__main__":
    main()
