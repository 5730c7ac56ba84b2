"""A campaign resumes where it stopped; its page is rendered from its numbers."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.helpers import command, settings_of
from three_hundred_maps.errors import InputError
from tools import campaign, campaign_summary, results_page, steps
from tools.plan import LONG, ONE_ORIENTATION, PLANS, REFERENCES, VIEW_SETS, run_name

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_a_campaign_holds_every_set_of_views_with_every_seed(tmp_path, store):
    subsets, training, predicting, scoring = campaign.make_stages(
        PLANS["cpu"], store, tmp_path, seeds=3, steps=None, threads=1
    )
    assert not subsets
    names = [step.name for step in training]
    assert len(set(names)) == len(names) and len(VIEW_SETS) == 7
    assert {run_name(views, seed) for views in VIEW_SETS for seed in range(3)} <= set(names)
    assert [step.name for step in predicting] == [f"predict {ONE_ORIENTATION}"]
    assert [step.name for step in scoring] == [f"score {name}" for name in (*names, ONE_ORIENTATION)]
    assert all("--channels 8" in step.command for step in training if "unet" in step.command)
    # What a step clears away is never what another has made.
    every = [*training, *predicting, *scoring]
    clearing = [step for step in every if step.scrap is not None]
    assert len(clearing) == len(REFERENCES)
    for step in clearing:
        made = [other.name for other in every if other.done.is_relative_to(step.scrap) and other is not step]
        assert made == [f"score {step.name}"]


def test_a_learning_curve_scores_all_models_on_the_same_clusters(tmp_path, store):
    stages = campaign.make_stages(
        PLANS["cpu"], store, tmp_path, seeds=2, steps=None, threads=1, clusters=campaign._numbers("8,4")
    )
    subsets, training, predicting, scoring = stages
    assert [step.name for step in subsets] == ["subset 4", "subset 8"]
    curve = [step for step in training if step.name.startswith("clusters")]
    assert [step.name for step in curve] == [f"clusters-{n}-{seed}" for n in (4, 8) for seed in (0, 1)]
    made = {str(step.done.parent) for step in subsets}
    assert {step.words[step.words.index("--data") + 1] for step in curve} == made
    for step in predicting:
        scored = "--predict" if step.words[0] == "baselines.ridge" else "--data"
        assert step.words[step.words.index(scored) + 1] == str(store)
    # Every submission is scored once, and no other.
    submissions = {step.done.parent for step in (*training, *predicting) if "submission" in str(step.done)}
    assert {Path(step.words[2]) for step in scoring} == submissions and len(scoring) == len(submissions)
    with pytest.raises(InputError, match="numbers of clusters"):
        campaign._numbers("many")


def test_the_page_says_how_a_part_of_a_set_was_made():
    attributes = {"recipe": "name: whole\n", "name": "part", "derived": {"regions": [3, 4, 5]}}
    build, subset = campaign_summary._derivation(attributes)
    assert build == "python -m three_hundred_maps build whole --out DIR/whole"
    assert subset.endswith("subset DIR/whole --regions 3-5 --name part --out STORE")
    attributes["derived"] = {"regions": [3, 5]}
    assert "--regions 3,5 " in campaign_summary._derivation(attributes)[1]
    assert campaign_summary._derivation({"recipe": "name: whole\n", "name": "whole"}) == []


def test_every_command_of_a_campaign_can_be_parsed(tmp_path, store):
    for plan in PLANS.values():
        for stage in campaign.make_stages(plan, store, tmp_path, seeds=1, steps=5, threads=1):
            for step in (step for step in stage if step.words[0] == "baselines.unet"):
                steps = settings_of(step.words).steps
                long = step.name == "flagship" or step.name in LONG
                assert steps == (5 * plan.flagship_steps // plan.steps if long else 5)


def test_the_gpu_plan_has_an_equal_budget_of_samples():
    plan = PLANS["gpu"]
    batch = int(plan.common[plan.common.index("--batch") + 1])
    assert plan.steps * batch == pytest.approx(0.7e6, rel=1e-3)


def test_data_are_a_store_or_a_recipe_to_build(tmp_path, store):
    assert steps.find_data(str(store), tmp_path) == (store, None)
    built, step = steps.find_data("mini", tmp_path, ["simulation.regions=1-3"])
    assert step is not None and built == tmp_path / "data"
    assert "build mini" in step.command and step.command.endswith("--set simulation.regions=1-3")
    with pytest.raises(InputError, match="changes a recipe, and --data .* is a store"):
        steps.find_data(str(store), tmp_path, ["simulation.regions=1-3"])
    with pytest.raises(InputError, match="neither a store nor a recipe"):
        steps.find_data(str(tmp_path), tmp_path)


def test_a_step_that_fails_is_named_with_its_reason(tmp_path):
    words = ("benchmarks", "score", "s", "--data", "nowhere/x")
    step = steps.Step("score sz", words, tmp_path / "a/b/c", tmp_path / "log.txt")
    with pytest.raises(InputError, match=r"score sz ended with status 2: error: no store at nowhere/x"):
        steps.run_step(step, 1)


@pytest.mark.long
def test_a_whole_campaign_gives_a_page(tmp_path, store, monkeypatch):
    small = replace(PLANS["cpu"], common=("--preset", "cpu", "--channels", "4", "--poolings", "2"))
    monkeypatch.setitem(campaign.PLANS, "cpu", small)
    words = ["--data", store, "--out", tmp_path / "c", "--plan", "cpu", "--seeds", "1", "--steps", "4"]
    assert command(campaign.main, *words, "--page", tmp_path / "docs").returncode == 0
    page = (tmp_path / "docs" / results_page.PAGE).read_text(encoding="utf-8")
    assert page == results_page.render(json.loads((tmp_path / "docs" / results_page.SUMMARY).read_text()))
    assert (tmp_path / "docs" / "figures" / "results-predictions.png").stat().st_size > 1000


def test_the_page_in_docs_is_what_its_numbers_give():
    summary = json.loads((DOCS / results_page.SUMMARY).read_text(encoding="utf-8"))
    page = results_page.render(summary)
    assert (DOCS / results_page.PAGE).read_text(encoding="utf-8") == page, "python -m tools.campaign --render"
    for row in summary["references"]:
        assert f"{row['scores']['residual_rms_dex']['value']:.4f}" in page
    changed = json.loads(json.dumps(summary))
    changed["networks"][0]["scores"]["skill"]["value"] += 0.3
    assert results_page.render(changed) != page
    for picture in re.findall(r"\]\((figures/[^)]+)\)", page):
        assert (DOCS / picture).is_file()
