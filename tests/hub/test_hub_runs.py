"""A run on the Hub: sent as a model repository, and loaded from there."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml
from fake_hub import FakeHub, Run

from baselines.publish import files_of_run, main, push_to_hub
from tests.helpers import command
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


SEND_AND_LOAD = """
import sys
from baselines import from_pretrained, publish

try:
    publish.main([sys.argv[1], "org/run", "--result", sys.argv[2], "--go"])
except SystemExit as done:
    assert not done.code
print(from_pretrained("org/run").architecture.network)
"""


def test_a_run_is_sent_and_loads_from_there(run: Run, hub: FakeHub, model: Path) -> None:
    address, network = run("-c", SEND_AND_LOAD, str(model), str(RESULT), hub=hub, token=True).stdout.split()
    assert "/org/run/commit/" in address and network == "unet"
    repo = hub.repos["org/run"]
    assert repo.private
    files = repo.commits[repo.refs["main"]]
    assert {"README.md", "config.json", "model.safetensors", "config.yaml"} <= set(files)
    assert "checkpoint.pt" not in files
    assert b"\nScored on `mini` (test split): " in files["README.md"]
    (entry,) = yaml.safe_load(files[".eval_results/three_hundred_maps.yaml"])
    assert entry["dataset"]["task_id"] == "mini-mass-map-sz-xray-star"


def test_what_would_be_sent_is_told(model: Path) -> None:
    done = command(main, model, "org/run")
    assert done.returncode == 0 and "nothing was sent" in done.stdout
    assert "+ model.safetensors" in done.stdout and "checkpoint" not in done.stdout


def test_what_cannot_be_sent(run: Run, hub: FakeHub, model: Path, tmp_path: Path) -> None:
    assert "hf auth login" in run(*COMMAND, str(model), "org/run", "--go", hub=hub, status=2).stderr
    assert not hub.repos
    with pytest.raises(InputError, match="ORG/NAME"):
        push_to_hub(model, "run")
    with pytest.raises(InputError, match="not a finished run"):
        files_of_run(tmp_path)
    (model / "model.safetensors").write_bytes(b"x")
    with pytest.raises(InputError):
        files_of_run(model)
