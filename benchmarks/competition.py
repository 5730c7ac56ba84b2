"""A Codabench competition of a sealed store: one zip file to upload.

Its form is the platform's: ``competition.yaml``, a scoring program with ``metadata.yaml``, reference data,
pages.
https://docs.codabench.org/latest/Organizers/Benchmark_Creation/Yaml-Structure/
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import yaml

import benchmarks
import three_hundred_maps
from benchmarks.codabench import COLUMNS, HOME, RULES
from benchmarks.manifest import canonical_track
from benchmarks.references import background_path
from benchmarks.registry import SCORES
from benchmarks.scoring import score_maps
from benchmarks.sealing import INPUTS, TRUTH
from benchmarks.truth import Truth, read_seal
from three_hundred_maps._version import __version__
from three_hundred_maps.display import markdown_table, sections
from three_hundred_maps.errors import InputError, installed_version
from three_hundred_maps.hub.pictures import gallery, panel
from three_hundred_maps.io import canonical_json, renamed_into_place
from three_hundred_maps.keys import parse_views
from three_hundred_maps.store.arrays import open_group

NEEDED = (
    *("numpy", "zarr", "numcodecs", "google-crc32c", "scipy", "pydantic", "pyyaml", "tqdm"),
    *("fsspec", "confusable-homoglyphs"),
)
"""Packages that the scoring program imports: its image has these, of the versions installed here."""
PER_DAY, IN_ALL = 5, 100
"""Submissions a person: scores of many are measurements of the truth."""
TIME_LIMIT = 1800
"""Of one scoring, seconds."""
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)
_MAIN = """import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from benchmarks.codabench import run
from three_hundred_maps.errors import error_handling

if __name__ == "__main__":
    with error_handling():
        print(run(Path(sys.argv[1]), Path(sys.argv[2])))
"""
_DOCKERFILE = """# docker build -t {image} . && docker push {image}
FROM python:3.12-slim
COPY requirements.txt .
RUN pip install --no-cache-dir -r requirements.txt
"""


def write_bundle(sealed: str | Path, out: str | Path, *, image: str, track: str | None = None) -> Path:
    """Write the bundle of a competition, from today (UTC) on, on the task that a store was sealed for.

    Parameters
    ----------
    sealed
        What `benchmarks.sealing.seal` made: ``inputs`` and ``truth``.
    out
        A new .zip file. It holds the truth.
    image
        Name of the Docker image that scores: ``scoring_program/Dockerfile`` of the bundle makes it.
    track
        The views that submissions may use, any of them; by default all of the inputs.

    Returns
    -------
    ``out``.

    Raises
    ------
    InputError
        Where ``sealed`` is not a sealed store, ``out`` is there already, or a view is none.
    """
    sealed, out = Path(sealed), Path(out)
    if not (sealed / INPUTS).is_dir() or not (sealed / TRUTH).is_dir():
        raise InputError(f"{sealed} has no {INPUTS} and {TRUTH}: give the folder that seal made of a store")
    if out.suffix != ".zip" or out.exists():
        raise InputError(f"{out}: give the name of a new .zip file")
    truth = Truth(sealed / TRUTH, task=read_seal(sealed / TRUTH)["task"])
    views = parse_views(track) if track is not None else truth.views
    unknown = sorted(set(views) - set(truth.views))
    if unknown or not views:
        raise InputError(f"track {track!r}: the views of {sealed / INPUTS} are {','.join(truth.views)}")
    rules = {"task": truth.task.name, "track": canonical_track(views), "truth": TRUTH}
    _, background = score_maps(truth, None, check=False)
    with renamed_into_place(out) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
        _add(archive, "competition.yaml", _yaml(_competition(truth, rules, image)))
        _add(archive, "logo.png", _logo(sealed / INPUTS))
        for name, text in _pages(truth, rules).items():
            _add(archive, f"pages/{name}.md", text.encode())
        for name, data in _program(image):
            _add(archive, f"scoring_program/{name}", data)
        _add(archive, f"reference_data/{RULES}", canonical_json(rules))
        place = background_path(truth.identity, truth.training, truth.constants)
        kept = canonical_json(background.to_json())
        _add(archive, f"reference_data/{HOME}/{place.parent.name}/{place.name}", kept)
        inputs = set(truth.attrs["views"]) - {truth.target, truth.task.half}
        for path in _files(sealed / TRUTH):
            parts = path.relative_to(sealed / TRUTH).parts
            # The inputs of test are public data and of no use to the scores.
            if not (len(parts) > 2 and parts[1] in inputs):
                _add(archive, "/".join(("reference_data", TRUTH, *parts)), path.read_bytes())
        for path in _files(sealed / INPUTS):
            inside = path.relative_to(sealed / INPUTS).as_posix()
            _add(archive, f"public_data/{INPUTS}/{inside}", path.read_bytes())
    return out


def _competition(truth: Truth, rules: dict[str, str], image: str) -> dict[str, Any]:
    """Content of ``competition.yaml``, version 2 of the platform's language."""
    columns = []
    for index, name in enumerate(COLUMNS):
        score = SCORES[name]
        column: dict[str, Any] = {"title": score.label, "key": name, "index": index}
        if isinstance(score.better, str):
            column["sorting"] = "asc" if score.better == "low" else "desc"
        columns.append(column | {"precision": score.digits})
    pages = [{"title": name.capitalize(), "file": f"pages/{name}.md"} for name in _pages(truth, rules)]
    content: dict[str, Any] = yaml.safe_load(
        files(__package__).joinpath("competition.yaml").read_text("utf-8")
    )
    content |= {
        "title": f"{truth.task.title} of galaxy clusters: {truth.name}",
        "description": f"Infer the {truth.task.what} of galaxy clusters from what can be observed.",
        "docker_image": image,
        "pages": [page for page in pages if page["title"] != "Terms"],
    }
    content["tasks"][0] |= {"name": truth.task.title, "description": truth.task.text}
    content["phases"][0] |= {
        "start": f"{datetime.now(UTC).date()} 00:00:00",
        "max_submissions_per_day": PER_DAY,
        "max_submissions": IN_ALL,
        "execution_time_limit": TIME_LIMIT,
    }
    content["leaderboards"][0]["columns"] = columns
    return content


def _program(image: str) -> Iterator[tuple[str, bytes]]:
    """The scoring program: this project's own modules, and what its image needs."""
    command = {"command": "python3 /app/program/score.py /app/input /app/output"}
    yield "metadata.yaml", _yaml(command)
    yield "score.py", _MAIN.encode()
    yield "Dockerfile", _DOCKERFILE.format(image=image).encode()
    lines = [f"{name}=={installed_version(name)}\n" for name in NEEDED]
    yield "requirements.txt", "".join(lines).encode()
    for package in (benchmarks, three_hundred_maps):
        root = Path(str(package.__file__)).parent
        for path in _files(root):
            if path.suffix == ".py":
                yield f"{root.name}/{path.relative_to(root).as_posix()}", path.read_bytes()


def _pages(truth: Truth, rules: dict[str, str]) -> dict[str, str]:
    regions = len(np.unique(truth.halos["region"]))
    rows = [(SCORES[n].label, SCORES[n].units, SCORES[n].meaning) for n in COLUMNS]
    scores = markdown_table(("score", "unit", "meaning"), rows)
    known = {
        "task": truth.task,
        "name": truth.name,
        "track": rules["track"],
        "clusters": truth.n_halos,
        "regions": regions,
        "lines": truth.n_los,
        "version": __version__,
        "attrs": truth.attrs,
        "scores": scores,
    }
    texts = sections(files(__package__).joinpath("competition.md"))
    return {page: text.format(**known) + "\n" for page, text in texts.items()}


def _logo(inputs: Path) -> bytes:
    """The inputs of one cluster, as PNG."""
    group = open_group(inputs)["test"]
    views = [name for name in ("sz", "xray", "star") if name in group]
    maps = {view: np.asarray(group[view][0, 0]) for view in views}
    ranges = {}
    for view, values in maps.items():
        logs = np.log10(values[values > 0])
        ranges[view] = (float(np.percentile(logs, 1)), float(logs.max()))
    picture, palette = panel(maps, ranges, views)
    return gallery([picture], palette)


def _yaml(content: dict[str, Any]) -> bytes:
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100).encode()


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    # No time of this machine: the same bundle for the same input.
    archive.writestr(zipfile.ZipInfo(name, _ZIP_TIME), data)
