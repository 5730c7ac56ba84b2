"""The Codabench bundle: of the platform's form, and its scoring program run as the platform runs it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import yaml

from benchmarks.cli import main
from benchmarks.codabench import COLUMNS, run
from benchmarks.competition import NEEDED, write_bundle
from benchmarks.scoring import score_submission
from benchmarks.sealing import seal
from benchmarks.truth import Truth
from tests.helpers import command
from three_hundred_maps.errors import InputError, declared_packages
from three_hundred_maps.store.arrays import read_split

# Runs a program without the modules that its image has not.
_ONLY = """
import runpy, sys
absent = set(sys.argv[1].split(","))
class Image:
    @staticmethod
    def find_spec(name, path=None, target=None):
        top = name.partition(".")[0]
        if top in absent:
            raise ModuleNotFoundError(f"No module named {top!r} in the image", name=top)
sys.meta_path.insert(0, Image)
sys.argv = sys.argv[2:]
runpy.run_path(sys.argv[0], run_name="__main__")
print(*(sys.modules[name].__file__ for name in ("benchmarks", "three_hundred_maps")))
"""


@pytest.fixture(scope="module")
def sealed(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("competition") / "sealed"
    seal(store, folder)
    return folder


@pytest.fixture(scope="module")
def unpacked(sealed: Path) -> Path:
    """The bundle, made by its command and unpacked."""
    out = sealed.parent / "codabench.zip"
    words = ("--codabench", out, "--image", "us/maps:1")
    assert command(main, "bundle", sealed, *words).returncode == 0
    with zipfile.ZipFile(out) as archive:
        archive.extractall(sealed.parent / "bundle")
    return sealed.parent / "bundle"


def _absent() -> set[str]:
    """Top modules of the packages that this project declares, but for what the image installs."""
    kept = {*NEEDED, "pydantic-core"}
    absent = {name for names in declared_packages().values() for name in names if name not in kept}
    owners = metadata.packages_distributions().items()
    absent = {top for top, names in owners if absent & {name.lower().replace("_", "-") for name in names}}
    assert {"torch", "xarray", "datasets", "typer"} <= absent and not {"numpy", "zarr"} & absent
    return absent | {"baselines", "tools"}


def test_the_bundle_is_of_the_platforms_form(unpacked: Path, sealed: Path) -> None:
    content = yaml.safe_load((unpacked / "competition.yaml").read_text())
    assert content["version"] == 2 and content["docker_image"] == "us/maps:1"
    files = [content["image"], content["terms"], *(page["file"] for page in content["pages"])]
    assert all((unpacked / name).stat().st_size > 100 for name in files)
    (task,), (phase,), (board,) = content["tasks"], content["phases"], content["leaderboards"]
    assert phase["tasks"] == [task["index"]] and re.fullmatch(r"20\d\d-\d\d-\d\d 00:00:00", phase["start"])
    assert all((unpacked / task[name]).is_dir() for name in ("scoring_program", "reference_data"))
    assert [column["key"] for column in board["columns"]] == list(COLUMNS)
    assert board["columns"][0] | {"title": ""} == {
        "title": "", "key": "residual_rms_dex", "index": 0, "sorting": "asc", "precision": 4
    }  # fmt: skip
    assert "FROM python" in (unpacked / "scoring_program" / "Dockerfile").read_text()
    pins = (unpacked / "scoring_program" / "requirements.txt").read_text().split()
    assert f"numpy=={np.__version__}" in pins and len(pins) == len(NEEDED)


def test_what_is_public_holds_the_inputs_alone(unpacked: Path, sealed: Path) -> None:
    public, inputs = (
        {path.relative_to(folder).as_posix() for path in folder.rglob("*")}
        for folder in (unpacked / "public_data" / "inputs", sealed / "inputs")
    )
    assert public == inputs and len(list((unpacked / "public_data").iterdir())) == 1
    reference = unpacked / "reference_data" / "truth" / "test"
    assert list((reference / "mass").rglob("c/*")) and not list((reference / "sz").rglob("c/*"))


def test_the_platform_scores_as_the_command_does(
    unpacked: Path, sealed: Path, submit: Callable[..., Path], fair: np.ndarray, tmp_path: Path
) -> None:
    """A container of the platform: its folders, the program's command, the packages of the image."""
    truth = Truth(sealed / "truth")
    folder = submit(maps=fair, rows=truth.keys, dataset={"digest": truth.digest})
    expected = score_submission(folder, sealed / "truth")["scores"]
    app = tmp_path / "app"
    (app / "output").mkdir(parents=True)
    shutil.copytree(unpacked / "scoring_program", app / "program")
    shutil.copytree(unpacked / "reference_data", app / "input" / "ref")
    shutil.copytree(folder, app / "input" / "res")
    program, *words = yaml.safe_load((app / "program" / "metadata.yaml").read_text())["command"].split(" ")
    assert program == "python3"
    words = [",".join(sorted(_absent())), *(word.replace("/app", str(app)) for word in words)]
    done = subprocess.run(
        [sys.executable, "-I", "-c", _ONLY, *words],
        cwd=app / "program", env={"HOME": str(app)}, text=True, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    own = [str(app / "program" / name / "__init__.py") for name in ("benchmarks", "three_hundred_maps")]
    assert done.stdout.split()[-2:] == own
    scores = json.loads((tmp_path / "app" / "output" / "scores.json").read_text())
    known = {name: expected.get(name, {}).get("value") for name in COLUMNS}
    assert scores == {name: value for name, value in known.items() if value is not None}
    assert {"residual_rms_dex", "skill", "ssim"} <= set(scores)
    assert "residual_rms_dex" in (tmp_path / "app" / "output" / "detailed_results.html").read_text()


def test_the_background_is_not_measured_again(unpacked: Path) -> None:
    (kept,) = (unpacked / "reference_data" / "home" / "benchmark").iterdir()
    assert set(json.loads(kept.read_text())["references"]) >= {"climatology"}


def test_what_the_program_refuses(
    unpacked: Path, sealed: Path, submit: Callable[..., Path], fair: np.ndarray, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("THREE_HUNDRED_MAPS_HOME", os.environ["THREE_HUNDRED_MAPS_HOME"])  # to restore it
    truth = Truth(sealed / "truth")
    rows = {"rows": truth.keys, "dataset": {"digest": truth.digest}}
    (tmp_path / "two").mkdir()
    for name in ("a.txt", "b.txt"):
        (tmp_path / "two" / name).write_text("x")
    copied = read_split(sealed / "truth", "test", ["mass"]).maps["mass"]
    (tmp_path / "input").mkdir()
    (tmp_path / "input" / "ref").symlink_to(unpacked / "reference_data")
    for folder, message in (
        (submit("views", maps=fair, track="sz,ksz", **rows), "takes the task mass-map and the views sz,"),
        (submit("copy", maps=copied, **rows), "not ranked: a copy of the truth"),
        (tmp_path / "two", "the upload holds a.txt, b.txt; expected submission.json"),
    ):
        shutil.rmtree(tmp_path / "input" / "res", ignore_errors=True)
        shutil.copytree(folder, tmp_path / "input" / "res")
        with pytest.raises(InputError, match=message):
            run(tmp_path / "input", tmp_path / "output")
    assert not (tmp_path / "output").exists()


def test_what_cannot_be_bundled(sealed: Path, store: Path, tmp_path: Path) -> None:
    for source, out, changes, message in (
        (store, "x.zip", {}, "give the folder that seal made"),
        (sealed, "x.tar", {}, "new .zip file"),
        (sealed, "x.zip", {"track": "sz,mass"}, "the views of"),
    ):
        with pytest.raises(InputError, match=message):
            write_bundle(source, tmp_path / out, image="us/maps:1", **changes)
    assert not list(tmp_path.iterdir())
