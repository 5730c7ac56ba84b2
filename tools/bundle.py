"""A campaign's harvest in a few small files: what comes back from a machine that was lent for minutes."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

import torch

from baselines.model import CONFIG_FILE, from_pretrained, in_bfloat16
from three_hundred_maps.errors import InputError
from three_hundred_maps.io import write_bytes
from tools.campaign import ALL_VIEWS, RESULT, SPEED, run_name

MODELS = (run_name(ALL_VIEWS, 0), "gaussian", "flagship")
"""The models taken along, where they were trained, in bfloat16."""
KEPT = ("config.yaml", CONFIG_FILE, "log.csv", "curve.png", RESULT)
LIMIT_BYTES = 16 * 2**20
HEADER_BYTES = 2**17
"""More than the names and shapes of a model's tensors take in a file."""


def write_bundle(campaign: Path, page: Path, out: Path) -> list[Path]:
    """Write ``campaign.tar.gz`` (page, settings, logs, results) and up to three models into ``out``.

    A model that is over 16 MiB in bfloat16 is in several files, as ``flagship-00001-of-00002.safetensors``.

    Raises
    ------
    InputError
        Where a file would be over 16 MiB all the same.
    """
    files: dict[str, bytes] = {"campaign.tar.gz": _archive(campaign, page)}
    for name in MODELS:
        run = campaign / "runs" / name
        if (run / CONFIG_FILE).is_file():
            files |= _model_files(name, from_pretrained(run).state_dict())
    for name, data in files.items():
        if len(data) > LIMIT_BYTES:
            raise InputError(
                f"{name} would have {len(data) / 2**20:.1f} MiB; a bundle's files have at most 16"
            )
    for name, data in files.items():
        write_bytes(out / name, data)
    return [out / name for name in files]


def _model_files(name: str, state: Mapping[str, torch.Tensor]) -> dict[str, bytes]:
    """The weights in bfloat16, in as few files as the limit allows."""
    from safetensors.torch import save

    parts: list[dict[str, torch.Tensor]] = [{}]
    size = 0
    for key, kept in in_bfloat16(state).items():
        if parts[-1] and size + kept.nbytes > LIMIT_BYTES - HEADER_BYTES:
            parts.append({})
            size = 0
        parts[-1][key] = kept
        size += kept.nbytes
    if len(parts) == 1:
        return {f"{name}.safetensors": save(parts[0])}
    return {
        f"{name}-{number:05d}-of-{len(parts):05d}.safetensors": save(part)
        for number, part in enumerate(parts, 1)
    }


def _archive(campaign: Path, page: Path) -> bytes:
    """A tar of the page and of every run's small files, without dates or owners."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        named = [(f"page/{p.relative_to(page)}", p) for p in sorted(page.rglob("*")) if p.is_file()]
        for run in sorted((campaign / "runs").iterdir()):
            named += [(f"runs/{run.name}/{name}", run / name) for name in KEPT if (run / name).is_file()]
        named += [(f"log/{log.name}", log) for log in sorted((campaign / "log").glob("*.txt"))]
        named += [(name, campaign / name) for name in SPEED if (campaign / name).is_file()]
        for name, path in named:
            data = path.read_bytes()
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return stream.getvalue()
