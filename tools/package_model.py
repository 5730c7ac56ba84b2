"""``python -m tools.package_model RUN --name unet-mini``: put a run's model into the package.

A shipped model is loaded by its name, offline: ``from_pretrained("unet-mini")``. Its weights are kept in
bfloat16 where float32 would take more than 1 MB; a larger model than 3 MB is not shipped.
"""

from __future__ import annotations

import importlib.resources
from pathlib import Path

import yaml

from baselines.card import write_card
from baselines.command import command_line
from baselines.model import CONFIG_FILE, MODEL_FILE, from_pretrained, in_bfloat16, read_model_config
from baselines.settings import Parser, read_config
from benchmarks.results import read_result
from three_hundred_maps.errors import InputError
from three_hundred_maps.io import write_bytes, write_json

FLOAT32_BYTES, LIMIT_BYTES = 1_000_000, 3_000_000


@command_line
def main(args: list[str]) -> None:
    """The command line."""
    parser = Parser(prog="python -m tools.package_model", description=__doc__)
    parser.add_argument("run", type=Path, help="a finished run")
    parser.add_argument("--name", default="unet-mini", help="the model's name in the package")
    parser.add_argument("--result", type=Path, default=None, help="the run's RESULT.json, for the card")
    parser.add_argument("--into", type=Path, default=None, help="another folder than the package's")
    options = parser.parse_args(args)
    if not options.name.replace("-", "").isalnum():
        raise InputError(f"--name {options.name!r}: letters, digits and '-'")
    folder = options.into or Path(str(importlib.resources.files("baselines"))) / "pretrained"
    print(ship(options.run, folder / options.name, options.result))


def ship(run: Path, target: Path, result: Path | None = None) -> Path:
    """Copy a run's model and its card to ``target``; InputError where it is over `LIMIT_BYTES`."""
    from safetensors.torch import save

    config = read_model_config(run)
    state = {name: value.contiguous() for name, value in from_pretrained(run).state_dict().items()}
    data = save(state)
    if len(data) > FLOAT32_BYTES:
        # `tools.transfer` scores a shipped model by its name, with the weights that are shipped.
        as_shipped = result is not None and str(read_result(result)["name"]).startswith(target.name)
        scored = ", as they were scored" if as_shipped else "; the scores are those of the float32 weights"
        config["note"] = f"Weights are kept in bfloat16{scored}."
        data = save(in_bfloat16(state))
    if len(data) > LIMIT_BYTES:
        raise InputError(
            f"{run}: {len(data):,} bytes even in bfloat16; a shipped model has at most {LIMIT_BYTES:,}"
        )
    config["name"] = target.name
    write_bytes(target / MODEL_FILE, data)
    write_json(target / CONFIG_FILE, config)
    settings = read_config(run / "config.yaml") | {"data": config["dataset"]}
    write_bytes(target / "config.yaml", yaml.safe_dump(settings, sort_keys=False).encode())
    write_card(target, result)
    return target


if __name__ == "__main__":
    main()
