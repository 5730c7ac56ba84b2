"""The campaign goes on where it stopped; the page is made from its files and says when it is stale."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load

from baselines import results
from three_hundred_maps.errors import InputError
from tools import campaign, steps
from tools.campaign import ONE_ORIENTATION, PLANS, VIEW_SETS, make_stages, run_name
from tools.results_page import render

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_a_campaign_holds_every_set_of_views_with_every_seed(tmp_path, store):
    training, predicting, scoring = make_stages(PLANS["cpu"], store, tmp_path, seeds=3, steps=None, threads=1)
    names = [step.name for step in training]
    assert len(set(names)) == len(names) and len(VIEW_SETS) == 7
    assert {run_name(views, seed) for views in VIEW_SETS for seed in range(3)} <= set(names)
    assert [step.name for step in predicting] == [ONE_ORIENTATION]
    assert [step.name for step in scoring] == [f"score {name}" for name in (*names, ONE_ORIENTATION)]
    assert all("--channels 8" in step.command for step in training if "unet" in step.command)


def test_no_step_clears_away_what_another_has_made(tmp_path, store):
    every = [
        s for stage in make_stages(PLANS["cpu"], store, tmp_path, seeds=2, steps=1, threads=1) for s in stage
    ]
    clearing = [step for step in every if step.scrap is not None]
    assert len(clearing) == len(campaign.REFERENCES)
    for step in clearing:
        made = [other.name for other in every if other.done.is_relative_to(step.scrap) and other is not step]
        assert made == [f"score {step.name}"]


def test_every_command_of_a_campaign_can_be_parsed(tmp_path, store):
    from baselines.settings import Parser, add_settings, merge

    for plan in PLANS.values():
        for stage in make_stages(plan, store, tmp_path, seeds=1, steps=5, threads=1):
            for step in (step for step in stage if step.words[0] == "baselines.unet"):
                parser = Parser()
                for option in ("--out", "--preset", "--name"):
                    parser.add_argument(option)
                parser.add_argument("--quiet", action="store_true")
                add_settings(parser)
                options = vars(parser.parse_args(step.words[1:]))
                preset = options["preset"]
                for name in ("out", "preset", "name", "quiet"):
                    options.pop(name)
                steps = merge(options, config=None, preset=preset).steps
                long = step.name == "flagship" or step.name in campaign.LONG
                assert steps == (5 * plan.flagship_steps // plan.steps if long else 5)


def test_the_gpu_plan_has_an_equal_budget_of_samples():
    plan = PLANS["gpu"]
    batch = int(plan.common[plan.common.index("--batch") + 1])
    assert plan.steps * batch == pytest.approx(0.7e6, rel=1e-3)


def test_a_rehearsal_has_every_step_of_its_plan_small_and_for_any_machine(tmp_path, store):
    for plan in PLANS.values():
        real, small = (
            make_stages(each, store, tmp_path, seeds=3, steps=None, threads=1)
            for each in (plan, campaign.rehearsal(plan))
        )
        assert [[s.name for s in stage] for stage in small] == [[s.name for s in stage] for stage in real]
        for step in (step for stage in small for step in stage if step.words[0] == "baselines.unet"):
            assert "--device cpu" in step.command.rsplit("--device cuda", 1)[-1]
            assert int(step.words[step.words.index("--steps") + 1]) <= 100
    speed, projection = make_stages(PLANS["gpu"], store, tmp_path, seeds=1, steps=1, threads=1)[0]
    assert speed.words[0] == "tools.speed.training"
    assert projection.words[0] == "tools.speed.projection"


def test_a_folder_of_long_work_is_its_own(tmp_path):
    steps.claim(tmp_path / "c", "mark.json", {"data": "mini"})
    steps.claim(tmp_path / "c", "mark.json", {"data": "mini"})
    with pytest.raises(InputError, match="on other data or by another plan"):
        steps.claim(tmp_path / "c", "mark.json", {"data": "other"})
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "x").touch()
    with pytest.raises(InputError, match="holds other things"):
        steps.claim(tmp_path / "other", "mark.json", {})


def test_data_are_a_store_or_a_recipe_to_build(tmp_path, store):
    assert steps.find_data(str(store), tmp_path) == (store, None)
    built, step = steps.find_data("mini", tmp_path, ["simulation.regions=1-3"])
    assert step is not None and built == tmp_path / "data"
    assert "build mini" in step.command and step.command.endswith("--set simulation.regions=1-3")
    with pytest.raises(InputError, match="changes a recipe, and --data .* is a store"):
        steps.find_data(str(store), tmp_path, ["simulation.regions=1-3"])
    with pytest.raises(InputError, match="neither a store nor a recipe"):
        steps.find_data(str(tmp_path), tmp_path)


def test_no_step_begins_after_the_time_is_over(tmp_path, store, capsys):
    stages = make_stages(PLANS["cpu"], store, tmp_path, seeds=1, steps=1, threads=1)
    assert steps.run_stages(stages, workers=2, minutes=0.0) == len(stages[0])
    assert "give the same command again" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_a_step_that_fails_is_named_with_its_reason(tmp_path):
    step = steps.Step(
        "ridge-sz",
        ("baselines.ridge", "--data", "nowhere/x", "--out", "o"),
        tmp_path / "a/b/c",
        tmp_path / "log.txt",
    )
    with pytest.raises(InputError, match=r"ridge-sz ended with status 2: error: no store at nowhere/x"):
        steps.run_step(step, 1)


@pytest.mark.long
def test_a_whole_campaign_gives_a_page(tmp_path, store, monkeypatch):
    small = replace(PLANS["cpu"], common=("--preset", "cpu", "--channels", "4", "--poolings", "2"))
    monkeypatch.setitem(campaign.PLANS, "cpu", small)
    words = [
        "--data",
        str(store),
        "--out",
        str(tmp_path / "c"),
        "--plan",
        "cpu",
        "--seeds",
        "1",
        "--steps",
        "4",
    ]
    with pytest.raises(SystemExit) as stop:
        campaign.main([*words, "--page", str(tmp_path / "docs")])
    assert stop.value.code == 0
    results.check(tmp_path / "docs")


@pytest.mark.parametrize("folder", [DOCS, DOCS / "mass"], ids=["results", "mass"])
def test_the_pages_in_docs_are_what_their_numbers_give(folder):
    results.check(folder)


def test_the_page_shows_every_number_of_its_summary():
    summary = json.loads((DOCS / results.SUMMARY).read_text(encoding="utf-8"))
    page = render(summary)
    for row in summary["references"]:
        assert f"{row['scores']['residual_rms_dex']['value']:.4f}" in page
    changed = json.loads(json.dumps(summary))
    changed["networks"][0]["scores"]["skill"]["value"] += 0.3
    assert render(changed) != page
    for picture in re.findall(r"\]\((figures/[^)]+)\)", page):
        assert (DOCS / picture).is_file()


def test_a_stale_page_is_named(tmp_path):
    for name in (results.SUMMARY, results.PAGE):
        (tmp_path / name).write_bytes((DOCS / name).read_bytes())
    results.check(tmp_path)
    page = tmp_path / results.PAGE
    page.write_text(page.read_text(encoding="utf-8").replace("0.", "1.", 1), encoding="utf-8")
    with pytest.raises(InputError, match="is stale"):
        results.check(tmp_path)
    results.render_again(tmp_path)
    results.check(tmp_path)
    with pytest.raises(InputError, match="has no results page"):
        results.check(tmp_path / "nowhere")


def test_any_runs_make_a_page(tmp_path, settings, capsys):
    from baselines import ridge
    from baselines.unet import train

    train(settings, tmp_path / "net")
    with pytest.raises(SystemExit) as stop:
        ridge.main(["--data", settings.data, "--views", "sz", "--out", str(tmp_path / "ridge"), "--quiet"])
    assert stop.value.code == 0
    runs = [str(tmp_path / "net"), str(tmp_path / "ridge")]

    def command(*words: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            results.main([*runs, *words])
        return ended.value.code, "".join(capsys.readouterr())

    page = tmp_path / "page"
    code, told = command("--out", str(page))
    assert code == 2 and "ridge has no config.yaml" in told and "give --data" in told
    assert command("--out", str(page), "--data", settings.data)[0] == 0
    text = (page / "results.md").read_text(encoding="utf-8")
    for run in runs:
        score = json.loads((Path(run) / "result.json").read_text())["scores"]["residual_rms_dex"]["value"]
        assert f"{score:.4f}" in text
    for picture in re.findall(r"\]\((figures/[^)]+)\)", text):
        assert (page / picture).stat().st_size > 1000
    assert command("--out", str(page), "--check")[0] == 0
    (page / "results.md").write_text(text.replace("0.", "1.", 1), encoding="utf-8")
    code, told = command("--out", str(page), "--check")
    assert code == 2 and "is stale" in told
    code, told = command()
    assert code == 2 and "--out is needed" in told
    with pytest.raises(SystemExit) as ended:
        results.main(["--out", str(page), "--render"])
    assert ended.value.code == 0
    assert command("--out", str(page), "--check")[0] == 0
    with pytest.raises(SystemExit) as ended:
        results.main(["--out", str(page)])
    assert ended.value.code == 2 and "name the runs" in capsys.readouterr().err
    (tmp_path / "ridge" / "submission" / "submission.json").unlink()
    code, told = command("--out", str(page))
    assert code == 2 and "is no run" in told


def test_a_bundle_holds_page_logs_and_models_in_small_files(tmp_path, settings, monkeypatch):
    import tarfile

    from baselines.unet import train
    from tools import bundle

    camp, page = tmp_path / "c", tmp_path / "page"
    train(settings, camp / "runs" / bundle.MODELS[0], submission=False)
    (camp / "log").mkdir()
    (camp / "log" / "a.txt").write_text("$ python -m baselines.unet\n")
    (page / "figures").mkdir(parents=True)
    (page / "figures" / "p.png").write_bytes(b"png")
    files = bundle.write_bundle(camp, page, tmp_path / "out")
    assert [file.name for file in files] == ["campaign.tar.gz", f"{bundle.MODELS[0]}.safetensors"]
    with tarfile.open(files[0]) as tar:
        names = tar.getnames()
    assert {"page/figures/p.png", f"runs/{bundle.MODELS[0]}/log.csv", "log/a.txt"} <= set(names)
    monkeypatch.setattr(bundle, "LIMIT_BYTES", 100)
    with pytest.raises(InputError, match="at most 16"):
        bundle.write_bundle(camp, page, tmp_path / "other")


def test_a_model_over_the_limit_is_in_parts_that_hold_all_of_it(monkeypatch):
    from tools import bundle

    monkeypatch.setattr(bundle, "LIMIT_BYTES", 2**15)
    monkeypatch.setattr(bundle, "HEADER_BYTES", 2**12)
    state = {f"layer{n}": torch.full((5000,), float(n)) for n in range(5)}
    parts = bundle._model_files("m", state)
    assert list(parts) == [f"m-{n:05d}-of-00003.safetensors" for n in (1, 2, 3)]
    assert all(len(data) <= bundle.LIMIT_BYTES for data in parts.values())
    joined = {name: value for data in parts.values() for name, value in load(data).items()}
    assert joined.keys() == state.keys()
    assert all(torch.equal(joined[name].float(), value) for name, value in state.items())
