"""Build the wheel, install it in a clean environment and run its commands from another folder.

Run by ``make wheel-check``, and with a folder that keeps what was built by ``make release``; not a pytest
module, because it needs minutes and a package index.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

NEEDED = (
    "three_hundred_maps/recipes/mini.yaml",
    "three_hundred_maps/data/cooling_cie.csv",
    "three_hundred_maps/README.md",
    "three_hundred_maps/sample/",
    "three_hundred_maps/py.typed",
    "baselines/pretrained/",
    "benchmarks/templates/",
)


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    """Run a command, show it, and fail loudly where it fails."""
    print("+", " ".join(str(part) for part in command), flush=True)
    result = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**os.environ, **environment},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if result.returncode:
        sys.exit(f"{result.stdout}\nexit status {result.returncode}")
    return result.stdout


def others() -> list[str]:
    """The other versions of Python on the path that the package is for."""
    names = [f"python3.{minor}" for minor in (11, 12, 13) if minor != sys.version_info.minor]
    found = [name for name in names if shutil.which(name)]
    # A name may be a shim of a version that is not there.
    return [n for n in found if subprocess.run([n, "--version"], capture_output=True).returncode == 0]


def main(kept: Path | None = None) -> None:
    """Build (into a folder, where one is given), inspect, install, run."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        built = kept or work
        run(sys.executable, "-m", "build", "--sdist", "--wheel", "--outdir", built, ROOT, cwd=work)
        (wheel,), (source,) = built.glob("*.whl"), built.glob("*.tar.gz")
        names = zipfile.ZipFile(wheel).namelist()
        missing = [name for name in NEEDED if not any(n.startswith(name) for n in names)]
        foreign = [name for name in names if name.startswith(("tests/", "docs/", "tools/"))]
        if missing or foreign:
            sys.exit(f"the wheel lacks {missing} and should not hold {foreign[:5]}")
        with tarfile.open(source) as archive:
            held = {name.split("/")[1] for name in archive.getnames()}
        if not held >= {"tools", "tests", "docs", "Makefile"}:
            sys.exit(f"{source.name} holds only {sorted(held)}")
        print(f"{wheel.name}: {len(names)} files, {wheel.stat().st_size / 1e6:.2f} MB")

        run(sys.executable, "-m", "venv", "clean", cwd=work)
        python = work / "clean" / "bin" / "python"
        run(python, "-m", "pip", "install", "-q", "--upgrade", "pip", cwd=work)
        constraint = ("-c", ROOT / "constraints.txt")
        run(python, "-m", "pip", "install", "-q", *constraint, wheel, cwd=work)
        thm = work / "clean" / "bin" / "thm"
        home = {"HF_HOME": str(work / "hf"), "PYTHONPATH": ""}
        print(run(thm, "--version", cwd=work, **home))
        print(run(thm, "doctor", cwd=work, **home))
        code = (
            "import time; t = time.perf_counter(); import three_hundred_maps as thm;"
            "t = time.perf_counter() - t;"
            "rows = thm.load_dataset('three_hundred_maps', 'sample'); print(rows); print(f'import {t:.3f} s')"
        )
        print(run(python, "-c", code, cwd=work, **home))

        for name in others() if kept else []:
            run(name, "-m", "venv", name, cwd=work)
            other = work / name / "bin" / "python"
            run(other, "-m", "pip", "install", "-q", wheel, cwd=work)
            print(name, run(other, "-c", code, cwd=work, **home))

        run(python, "-m", "pip", "install", "-q", *constraint, f"{wheel}[build]", cwd=work)
        run(thm, "recipe", "mini", "-o", "my.yaml", cwd=work, **home)
        regions = "simulation.regions=1-4"
        run(thm, "build", "my.yaml", "--out", "store", "--set", regions, "--quiet", cwd=work, **home)
        print(run(thm, "inspect", "store", cwd=work, **home))
        print(run(thm, "verify", "store", "--deep", cwd=work, **home))
    print("the wheel works outside its checkout")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else None)
