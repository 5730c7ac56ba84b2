"""What the packages import is declared, in the extra that they belong to; what is declared is imported."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from three_hundred_maps.errors import error_handling, missing_package
from three_hundred_maps.testing import tiny_store

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = ("three_hundred_maps", "baselines", "benchmarks")
OWN = {*SHIPPED, "tools", *sys.stdlib_module_names}
NEEDED_BY_OTHERS = {"torchvision", "dask-jobqueue"}
"""Declared and not imported: for timm's models; for users' own schedulers (docs/cluster.md)."""


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", re.split(r"[\s<>=!~;\[]", name, maxsplit=1)[0]).lower()


def imported() -> dict[str, set[str]]:
    """Distributions that the shipped packages import, with the files that do."""
    found: dict[str, set[str]] = {}
    distributions = importlib.metadata.packages_distributions()
    for package in SHIPPED:
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    names = [item.name for item in node.names]
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    names = [node.module]
                else:
                    continue
                for name in (
                    {name.split(".")[0] for name in names} - sys.stdlib_module_names - {*SHIPPED, "tools"}
                ):
                    found.setdefault(_normal(distributions.get(name, [name])[0]), set()).add(path.name)
    return found


def test_dependencies_are_declared_as_used() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = {name: listed for name, listed in project["optional-dependencies"].items() if name != "all"}
    declared = {_normal(one) for listed in (project["dependencies"], *extras.values()) for one in listed}
    used = imported()
    assert not {name: files for name, files in used.items() if name not in declared}
    assert declared - set(used) == NEEDED_BY_OTHERS
    # Stores are named by https:// too, which fsspec reads by packages that no other dependency brings.
    assert any(one.startswith("fsspec[http]") for one in project["dependencies"])
    # `all` is all of them.
    assert project["optional-dependencies"]["all"] == [f"three_hundred_maps[{','.join(extras)}]"]


def test_a_tree_that_is_not_installed_hides_no_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    def not_installed(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "requires", not_installed)
    with pytest.raises(ModuleNotFoundError, match="msgspec"), error_handling():
        raise ModuleNotFoundError("No module named 'msgspec'", name="msgspec")


@pytest.mark.parametrize(
    ("module", "extra"),
    [
        ("three_hundred_maps.simulation.region", "build"),
        ("benchmarks.figures", "benchmarks"),
        ("baselines.curves", "baselines"),
    ],
)
def test_the_extra_is_that_of_the_package_which_asks(module: str, extra: str) -> None:
    with pytest.raises(ModuleNotFoundError) as caught:
        exec("raise ModuleNotFoundError(name='matplotlib')", {"__name__": module})
    assert str(missing_package(caught.value)).endswith(f"'three_hundred_maps[{extra}]'")


WITHOUT = """
import sys

import benchmarks
import three_hundred_maps


def say(call):
    try:
        call()
    except (ImportError, ValueError) as error:
        print(error)


sys.modules["pydantic"] = None
say(lambda: three_hundred_maps.read_split("mini", "train"))
del sys.modules["pydantic"]
for package in ("torch", "h5py", "confusable_homoglyphs"):
    sys.modules[package] = None
say(lambda: three_hundred_maps.MapDataset)
say(lambda: three_hundred_maps.build)
say(lambda: benchmarks.Evaluator)
say(lambda: __import__("baselines.unet"))
from three_hundred_maps.cli import main

main(["verify", sys.argv[1]])
"""


def test_what_lacks_a_package_says_which_extra_to_install(tmp_path: Path) -> None:
    store = tiny_store(tmp_path / "store")
    command = [sys.executable, "-c", WITHOUT, str(store)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    base, *missing, verified = done.stdout.splitlines()
    assert base.endswith("without the package 'pydantic': pip install three_hundred_maps")
    assert missing == [
        f"the package {package!r} is not installed; "
        f"install it with: pip install 'three_hundred_maps[{extra}]'"
        for package, extra in (
            ("torch", "baselines"),
            ("h5py", "build"),
            ("confusable_homoglyphs", "benchmarks"),
            ("torch", "baselines"),
        )
    ]
    # A store is verified with the plain install.
    assert verified.startswith(f"{store} is good") and done.returncode == 0, done.stderr
