"""What a campaign trains: the runs of the results page and, for each kind of machine, their options."""

from __future__ import annotations

from dataclasses import dataclass, replace

VIEW_SETS = ("sz", "xray", "star", "sz,xray", "sz,star", "xray,star", "sz,xray,star")
SINGLE_VIEWS = VIEW_SETS[:3]
ALL_VIEWS = VIEW_SETS[-1]
TRACKS = {**{view: view for view in SINGLE_VIEWS}, "all": ALL_VIEWS}
"""The views of each track whose models are tried on other data."""
NORMS = ("instance", "group")
"""Normalisations shown beside the default, which the runs by views use."""
REFERENCES = (
    ("climatology", ""),
    *(("mean_profile", view) for view in SINGLE_VIEWS),
    *(("scaling", view) for view in ("sz", "xray")),
    *(("ridge", views) for views in (*SINGLE_VIEWS, ALL_VIEWS)),
    *(("profile_regression", views) for views in (*SINGLE_VIEWS, ALL_VIEWS)),
)
"""Baselines without a network, and the views they use."""
LONG = {"long-all": ALL_VIEWS, "long-star": "star"}
"""The paper's network trained as long as the flagship, on all views and on stars alone."""
ONE_ORIENTATION = "one-orientation"
"""The prediction of the first run of all views without the average over the square's symmetries."""
MARK = "campaign.json"
"""In a campaign's folder: its data and its plan."""
RESULT = "result.json"


@dataclass(frozen=True)
class Plan:
    """Options of `baselines.unet`, by kind of run.

    Parameters
    ----------
    label
        What is trained, for the page.
    common, steps
        Of every run.
    further
        Other networks at the same number of steps: the run's folder, the model's name, its options.
    flagship, flagship_steps
        The one run that is to be the best.
    long
        Of the paper's network at the flagship's number of steps; none: it is not trained so.
    """

    label: str
    common: tuple[str, ...]
    steps: int
    further: tuple[tuple[str, str, tuple[str, ...]], ...]
    flagship: tuple[str, ...]
    flagship_steps: int
    long: tuple[str, ...] = ()


_CALIBRATED = (
    ("calibrated", "unet, calibrated", ("--calibrate",)),
    *(
        (f"calibrated-{seed}", f"unet, calibrated, seed {seed}", ("--calibrate", "--seed", str(seed)))
        for seed in (1, 2)
    ),
)
"""In three seeds, for the scatter of the mass."""
_FURTHER = (
    *_CALIBRATED,
    ("plain", "unet, plain training", ("--plain",)),
    ("residual", "residual unet with attention", ("--network", "residual")),
    ("nafnet", "unet of NAFNet's blocks", ("--network", "nafnet")),
    ("convnext", "unet of ConvNeXt's blocks", ("--network", "convnext")),
)
PLANS = {
    "cpu": Plan(
        label="8 channels, CPU",
        common=("--preset", "cpu", "--device", "cpu", "--channels", "8"),
        steps=400,
        further=(*_FURTHER, ("encoder", "unet on resnet10t", ("--encoder", "resnet10t"))),
        flagship=(
            *("--network", "residual", "--channels", "16", "--ema", "0.995", "--calibrate", "--plain"),
        ),
        flagship_steps=800,
        long=("--ema", "0.995"),
    ),
    "gpu": Plan(
        label="32 channels, GPU",
        common=("--preset", "gpu", "--device", "cuda", "--batch", "256"),
        steps=2734,
        further=(*_FURTHER, ("encoder", "unet on resnet18d", ("--encoder", "resnet18d"))),
        flagship=("--network", "residual", "--drop", "0.05", "--calibrate", "--plain"),
        flagship_steps=8000,
    ),
}
"""0.7 million samples a run on a GPU, as in the paper."""
PLANS["small"] = replace(
    PLANS["cpu"],
    label="8 channels, GPU",
    common=("--preset", "cpu", "--device", "cuda", "--channels", "8"),
)
"""The runs of a CPU on a GPU: several at once take minutes."""


def run_name(views: str, seed: int) -> str:
    """The folder of a run."""
    return f"{views.replace(',', '-')}-{seed}"


def curve_name(clusters: int, seed: int) -> str:
    """The folder of a run on the first so many training clusters."""
    return f"clusters-{clusters}-{seed}"


def baseline_name(baseline: str, views: str) -> str:
    """The folder of a baseline without a network."""
    return f"{baseline}-{views.replace(',', '-')}".rstrip("-")
