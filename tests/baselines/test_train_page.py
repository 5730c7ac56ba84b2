"""What the page on training shows is run, from a first model to a scored submission of one's own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from baselines import from_pretrained, unet
from baselines.model import NETWORKS
from baselines.networks import UNet
from tests.snippets import run_lines, snippets
from three_hundred_maps.testing import tiny_store

ROOT = Path(__file__).resolve().parents[2]
TRAIN = ROOT / "docs" / "train.md"


@pytest.fixture(scope="module")
def full_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store whose maps have the 80 pixels that the shipped model was trained on."""
    return tiny_store(tmp_path_factory.mktemp("train-page") / "store", halos=(6, 2, 2), n_los=2)


def test_what_the_page_shows_is_run(
    full_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STORE", str(full_store))
    monkeypatch.setitem(NETWORKS, "dilated", UNet)  # what the page names is gone after this test
    for block in snippets(TRAIN, "python"):
        exec(compile(block.text, str(TRAIN), "exec"), {"__name__": "page"})
    assert capsys.readouterr().out.splitlines() == ["(2, 80, 80)", "(4, 80, 80)", "(4, 2, 80, 80)"]
    blocks = snippets(TRAIN, "bash")
    assert len(blocks) == 6
    # The same lines, trained for a moment only.
    brief = "--steps 2 --channels 4 --batch 8 --test-symmetries 1"
    own = f"--network dilated {brief} --poolings 1 --data {full_store} --out runs/dilated --quiet"
    with pytest.raises(SystemExit, match="^0$"):
        unet.main(own.split())
    assert type(from_pretrained("runs/dilated").network).__name__ == "Dilated"
    lines = "".join(block.text for block in blocks).replace("baselines.unet ", f"baselines.unet {brief} ")
    for command, more in (("flow", "--flow-steps 2 --heun-steps 1"), ("ensemble", "")):
        lines = lines.replace(
            f"baselines.{command} ",
            f"baselines.{command} {brief} --folds 2 --samples 2 {more} ",
        )
    lines = lines.replace("--samples 20", "--samples 2 --symmetries 1")
    run_lines(lines, tmp_path, STORE=str(full_store), OMP_NUM_THREADS="1")
    table = [line.split("|")[1] for line in TRAIN.read_text("utf-8").splitlines() if line.startswith("| `")]
    named = [name.strip(" `") for cell in table if "--" not in cell for name in cell.split(",")]
    assert len(named) >= 8 and all((tmp_path / "runs" / "all" / name).exists() for name in named)
    for run in (
        *("star", "encoder", "residual", "sigma", "climatology", "mean-profile", "scaling", "ridge"),
        *("flow", "field", "deep"),
    ):
        assert (tmp_path / "runs" / run / "submission" / "submission.json").is_file()
    assert (tmp_path / "result.json").is_file() and (tmp_path / "samples" / "submission.json").is_file()
    scores = json.loads((tmp_path / "my-result.json").read_text(encoding="utf-8"))["scores"]
    assert scores["skill"]["value"] > 0
