"""What the README and the concepts page show is run, and every link inside the project leads somewhere."""

from __future__ import annotations

import json
import os
import re
import tomllib
from pathlib import Path

import pytest

import baselines
import benchmarks
import three_hundred_maps
from tests.processes import run_python
from tests.snippets import run_lines, snippets
from three_hundred_maps import builder, mapping, testing
from three_hundred_maps.builder.recipe import load_recipe
from three_hundred_maps.hub.cache import store_path
from three_hundred_maps.testing import tiny_store

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
DOCUMENTS = [README, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.fixture(scope="module")
def cached_mini(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment whose cache holds a finished store in the place of `mini`."""
    home = tmp_path_factory.mktemp("home")
    environment = {"THREE_HUNDRED_MAPS_HOME": str(home / "thm"), "HF_HOME": str(home / "hf")}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        path = store_path(load_recipe("mini"))
        path.parent.mkdir(parents=True)
        tiny_store(path, halos=(6, 2, 2), n_los=2, name="mini")
    return environment


def test_python_of_the_readme(cached_mini: dict[str, str], tmp_path: Path) -> None:
    blocks = snippets(README, "python")
    assert blocks
    for block in blocks:
        result = run_python("-c", block.text, environment={**os.environ, **cached_mini}, cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        assert "(80, 80)" in result.stdout


def test_shell_of_the_readme(cached_mini: dict[str, str], tmp_path: Path) -> None:
    blocks = [b for b in snippets(README, "bash") if "python -m" in b.text]
    assert len(blocks) == 2
    # The same lines, trained for a moment only.
    lines = "".join(b.text for b in blocks).replace("--out runs/all", "--out runs/all --steps 2 --channels 4")
    run_lines(lines, tmp_path, **cached_mini)
    for made in ("config.yaml", "model.safetensors", "log.csv", "curve.png"):
        assert (tmp_path / "runs" / "all" / made).is_file()
    assert (tmp_path / "board" / "index.html").is_file()


def test_numbers_of_the_readme_are_those_of_the_results() -> None:
    text = README.read_text(encoding="utf-8")
    runs = json.loads((ROOT / "docs" / "mass" / "results.json").read_text(encoding="utf-8"))["runs"]
    best = min(runs, key=lambda run: run["scores"]["residual_rms_dex"]["value"])
    error, bias, scatter = (
        best["scores"][name]["value"] for name in ("residual_rms_dex", "mass_bias", "mass_scatter")
    )
    climatology = best["references"]["climatology"]["scores"]["residual_rms_dex"]["value"]
    words = " ".join(text.split())
    ends = [best["scores"]["residual_rms_dex"][end] for end in ("low", "high")]
    assert f"has {climatology:.3f} dex" in words and f"has {error:.3f} dex" in words
    assert f"95 % interval {ends[0]:.3f} to {ends[1]:.3f}" in words
    assert f"in the truth, is {best['noise_floor']['residual_rms_dex']:.3f} dex" in words
    assert f"a bias of {bias:.3f} and a scatter of {scatter:.3f}" in words
    models = json.loads((ROOT / "docs" / "transfer.json").read_text("utf-8"))["models"]
    assert f"({models['residual-varied']['home']['rms']:.3f} dex on `mini`)" in words
    halos = models["residual-varied"]["real"]["halos"]
    off = sorted(100 * halo["mass_bias"] for halo in halos)
    ratios = sorted(halo["rms_over_climatology"] for halo in halos)
    assert f"are off by {off[0]:+.0f} to {off[-1]:+.0f} %" in words
    assert f"rms error is {ratios[0]:.2f} to {ratios[-1]:.2f} of that of the mean cluster" in words


def test_the_scatter_of_seeds_is_that_of_the_results() -> None:
    errors: dict[str, list[float]] = {}
    for run in json.loads((ROOT / "docs" / "results.json").read_text("utf-8"))["networks"]:
        errors.setdefault(run["views"], []).append(run["scores"]["residual_rms_dex"]["value"])
    most = max(max(values) - min(values) for values in errors.values())
    for page in ("transfer.md", "cross-code.md"):
        assert f"up to {most:.3f} dex" in (ROOT / "docs" / page).read_text(encoding="utf-8")


def test_make_targets_of_the_readme_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {t for d in DOCUMENTS for t in re.findall(r"\bmake ([a-z-]+)", d.read_text(encoding="utf-8"))}
    assert {"demo", "test"} <= named
    assert {name for name in named if f"make {name}" in README.read_text()} <= targets


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: d.name)
def test_links_inside_the_project_lead_somewhere(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    broken = [
        target
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text)
        if "://" not in target
        and not target.startswith("mailto:")
        and not (document.parent / target).exists()
    ]
    assert not broken


def test_every_public_name_is_in_the_reference() -> None:
    pages = "".join(path.read_text("utf-8") for path in (ROOT / "docs" / "api").glob("*.md"))
    modules = set(re.findall(r"automodule:: (\S+)", pages))
    for package in (three_hundred_maps, builder, mapping, testing, benchmarks, baselines):
        named = [getattr(package, name) for name in package.__all__]
        assert {item.__module__ for item in named if callable(item)} <= modules
    assert "three_hundred_maps.plot" in modules


def test_citation_names_this_version() -> None:
    from three_hundred_maps._version import __version__

    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"version: {__version__}" in text and "10.1051/epjconf/202429300013" in text
    assert f"## {__version__} " in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    path = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["version"][
        "path"
    ]
    assert f'"{__version__}"' in (ROOT / path).read_text(encoding="utf-8")
