"""A run on the Hub: sent as a model repository, and loaded from there."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml
from fake_hub import FakeHub, Run

from baselines.publish import files_of_run
from three_hundred_maps.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
RESULT = ROOT / "benchmarks" / "results" / "mini-all.json"
COMMAND = ("-m", "baselines.publish")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """The shipped model as a run, with a file that is not to be sent."""
    folder = tmp_path / "run"
    shutil.copytree(ROOT / "baselines" / "pretrained" / "unet-mini", folder)
    (folder / "checkpoint.pt").write_bytes(b"x")
    return folder


def test_a_run_is_sent_and_loads_from_there(run: Run, hub: FakeHub, model: Path) -> None:
    words = (*COMMAND, str(model), "org/run", "--result", str(RESULT))
    shown = run(*words, hub=hub, token=True).stdout
    assert "+ model.safetensors" in shown and "nothing was sent" in shown and not hub.repos
    assert "org/run/commit/" in run(*words, "--go", hub=hub, token=True).stdout
    repo = hub.repos["org/run"]
    assert repo.private
    files = repo.commits[repo.refs["main"]]
    assert {"README.md", "config.json", "model.safetensors", "config.yaml"} <= set(files)
    assert "checkpoint.pt" not in files
    (entry,) = yaml.safe_load(files[".eval_results/three_hundred_maps.yaml"])
    assert entry["dataset"]["task_id"] == "mini-mass-map-sz-xray-star"
    code = "from baselines import from_pretrained; print(from_pretrained('org/run').architecture.network)"
    assert run("-c", code, hub=hub, token=True).stdout.strip() == "unet"


def test_what_cannot_be_sent(run: Run, hub: FakeHub, model: Path, tmp_path: Path) -> None:
    assert "token" in run(*COMMAND, str(model), "org/run", "--go", hub=hub, status=2).stderr
    assert "ORG/NAME" in run(*COMMAND, str(model), "run", "--go", hub=hub, token=True, status=2).stderr
    with pytest.raises(InputError, match="no finished run"):
        files_of_run(tmp_path)
    (model / "model.safetensors").write_bytes(b"x")
    with pytest.raises(InputError):
        files_of_run(model)
    assert not hub.repos
