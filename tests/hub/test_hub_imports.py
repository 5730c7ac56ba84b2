"""The name is taught to `datasets` in either import order, lazily, and leaves everything else alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_hub import Run

ROOT = Path(__file__).resolve().parents[2]

ORDERS = {
    "ours first": "import three_hundred_maps\nimport datasets\nload = datasets.load_dataset",
    "datasets first": "import datasets\nimport three_hundred_maps\nload = datasets.load_dataset",
    "the function before us": "from datasets import load_dataset as load\nimport three_hundred_maps",
    "a submodule of datasets first": "import datasets.features\nimport three_hundred_maps\n"
    "from datasets import load_dataset as load",
}


@pytest.mark.parametrize("order", ORDERS)
def test_either_import_order(run: Run, store: Path, order: str) -> None:
    code = (
        f"{ORDERS[order]}\nprint(load('three_hundred_maps', data_dir={str(store)!r}, split='test').num_rows)"
    )
    assert run("-c", code).stdout.split() == ["9"]


def test_the_import_is_lazy_and_fast(run: Run) -> None:
    code = """
import sys, time
start = time.process_time()
import three_hundred_maps
spent = time.process_time() - start
heavy = {"torch", "datasets", "pandas", "numba", "matplotlib", "pyarrow", "huggingface_hub", "zarr", "numpy"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
assert spent < 0.2, spent
"""
    run("-c", code, fresh=True)


def test_datasets_keeps_its_loader_and_other_names(run: Run, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n")
    code = f"""
import sys
before = list(sys.meta_path)
import three_hundred_maps, datasets, inspect, importlib.resources
assert [finder for finder in sys.meta_path if finder not in before] == []
assert type(datasets.__spec__.loader).__name__ == "SourceFileLoader"
assert "exec_module" not in vars(datasets.__spec__.loader)
assert "__version__" in inspect.getsource(datasets)
assert importlib.resources.files("datasets").joinpath("load.py").is_file()
rows = datasets.load_dataset("csv", data_files={str(tmp_path / "rows.csv")!r}, split="train")
assert rows[0] == {{"a": 1, "b": 2}}
import three_hundred_maps.hub.hook as hook
first = datasets.load.dataset_module_factory
hook.install(); hook.install()
assert datasets.load.dataset_module_factory is first is datasets.inspect.dataset_module_factory
assert "mini" in datasets.get_dataset_config_names("three_hundred_maps")
"""
    run("-c", code)


def test_a_folder_named_datasets_is_left_alone(run: Run, tmp_path: Path) -> None:
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / "__init__.py").write_text("mine = 1\n")
    assert run("-c", "import three_hundred_maps, datasets; print(datasets.mine)").stdout.split() == ["1"]


def test_a_version_without_the_factory_warns_and_says_what_to_use(run: Run, tmp_path: Path) -> None:
    package = tmp_path / "datasets"
    package.mkdir()
    (package / "__init__.py").write_text("from .load import load_dataset\n__version__ = '9'\n")
    (package / "load.py").write_text("def load_dataset(*a): ...\n")
    code = """
import warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import three_hundred_maps, datasets
assert "three_hundred_maps.load_dataset" in str(caught[-1].message), caught
"""
    run("-c", code)


@pytest.mark.parametrize("where", ["inside a checkout", "in the folder that holds it"])
def test_plain_datasets_gives_the_sample(run: Run, tmp_path: Path, where: str) -> None:
    """Nothing of ours is imported: the package's card, or the root's, names the sample's files."""
    (tmp_path / "three_hundred_maps").symlink_to(ROOT)
    cwd = ROOT if where.startswith("inside") else tmp_path
    code = """
import sys
sys.path = [p for p in sys.path if p not in ("", ".")]
import datasets
found = datasets.load_dataset("three_hundred_maps")
assert "three_hundred_maps" not in sys.modules
print(sum(rows.num_rows for rows in found.values()), found["train"].features["mass"])
assert found["train"].info.config_name == "sample"
"""
    assert run("-c", code, cwd=cwd).stdout.strip() == "24 Array2D(shape=(80, 80), dtype='float32')"
