"""Models that draw posterior samples: random fields, cross-fitting, flows, calibration, commands."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from baselines import ensemble, flow, predict
from baselines.cross_fitting import fold_of
from baselines.data import Rows
from baselines.flow_matching import FlowLoss, FlowNetwork, flow_error, integrate, straight_lines
from baselines.machine import find_machine
from baselines.model import Architecture, from_pretrained
from baselines.networks import UNet
from baselines.posterior_model import PosteriorArchitecture, PosteriorModel, load_posterior
from baselines.posterior_training import Options, calibrate_spread, train_posterior
from baselines.random_field import RandomField
from baselines.settings import Settings
from benchmarks.predictions import Predictions
from benchmarks.scoring import score_submission
from benchmarks.validation import validate
from tests.helpers import command, refused
from three_hundred_maps.errors import InputError
from three_hundred_maps.geometry import MapGrid
from three_hundred_maps.testing import tiny_store
from three_hundred_maps.torch_transforms import ScoreGrid, Transforms

GRID = MapGrid(32, 2.0)
OPTIONS = Options(folds=2, flow_steps=6, samples=3, heun_steps=2)


def generators(count: int, seed: int = 0) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed * 1000 + i) for i in range(count)]


# -- parts ----------------------------------------------------------------------------------------------


def test_a_random_field_has_the_spread_and_the_covariance_of_what_it_was_fitted_to() -> None:
    """Noise under a known kernel: its correlation at a lag is the kernel's own."""
    rng = np.random.default_rng(0)
    white = rng.normal(size=(1500, 40, 40))
    kernel = np.array([1.0, 2.0, 3.0, 2.0, 1.0])
    smooth = sum(k * np.roll(white, i, axis=1) for i, k in enumerate(kernel))
    smooth = sum(k * np.roll(smooth, i, axis=2) for i, k in enumerate(kernel))[:, 8:, 8:] / np.sum(kernel**2)
    spread = 0.1 + 0.2 * GRID.radius
    field = RandomField(GRID)
    field.fit(torch.from_numpy(spread * smooth).float())
    inside = GRID.radius < 1
    assert np.allclose(field.std.numpy()[inside], spread[inside], rtol=0.1)
    drawn = field.draw(1500, generators(1))[0].double().numpy()
    correlation = np.correlate(kernel, kernel, "full")[4:] / np.sum(kernel**2)
    for lag, expected in enumerate([*correlation, 0.0]):
        here = np.mean(drawn[:, :, : 32 - lag] * drawn[:, :, lag:])
        down = np.mean(drawn[:, : 32 - lag] * drawn[:, lag:])
        assert here == pytest.approx(expected, abs=0.05) and down == pytest.approx(expected, abs=0.05)


def test_a_map_draws_the_same_whatever_it_is_drawn_beside() -> None:
    field = RandomField(GRID)
    together = field.draw(3, generators(4))
    assert torch.equal(field.draw(3, generators(4)[2:3])[0], together[2])
    assert not torch.equal(together[0], together[1])


def test_folds_are_whole_regions_of_nearly_equal_number() -> None:
    region = np.repeat(np.array([7, 3, 11, 5, 2, 13, 1]), [4, 1, 3, 2, 5, 1, 1])
    fold = fold_of(region, 3)
    assert all(len(set(fold[region == r])) == 1 for r in np.unique(region))
    counts = [len(set(region[fold == k])) for k in range(3)]
    assert sum(counts) == 7 and max(counts) - min(counts) <= 1
    with pytest.raises(InputError, match="--folds 9: the training set has 7 regions"):
        fold_of(region, 9)


@pytest.mark.parametrize("shuffle", [1, 2, 4])
def test_pixels_folded_into_channels_come_back_in_place(shuffle: int) -> None:
    """What moves by whole folds and pools moves in the prediction alike, away from the edges."""
    network = UNet(1, 1, channels=4, poolings=1, norm="none", shuffle=shuffle).eval()
    x = torch.zeros(1, 1, 128, 128)
    x[..., 60:64, 60:64] = torch.randn(4, 4, generator=torch.Generator().manual_seed(0))
    step, empty = 2 * shuffle, network(0 * x)
    there, moved = network(x) - empty, network(x.roll((step, -step), (2, 3))) - empty
    assert there.shape == x.shape and float(there.detach().abs().max()) > 1e-4
    assert torch.allclose(moved, there.roll((step, -step), (2, 3)), atol=1e-6)


def test_the_time_acts_on_every_block() -> None:
    network = UNet(1, 1, channels=4, poolings=2, embedding=8)
    assert len(network.films) == 5
    x, time = torch.randn(2, 1, 16, 16), torch.zeros(2, 8)
    for layer in network.films:
        nn.init.zeros_(layer.bias)
    plain = network.eval()(x)
    assert torch.allclose(network(x, time), plain)
    assert not torch.allclose(network(x, time + 1), plain)


class Gaussian(nn.Module):
    """The exact velocity from N(0, 1) to N(mean, sigma^2), in every pixel."""

    def __init__(self, mean: float, sigma: float) -> None:
        super().__init__()
        self.mean, self.sigma = mean, sigma

    def forward(self, packed: torch.Tensor) -> torch.Tensor:
        x, t = packed[:, -2:-1], packed[:, -1:]
        variance = (1 - t) ** 2 + (t * self.sigma) ** 2
        slope = (t * self.sigma**2 - (1 - t)) / variance
        return self.mean + slope * (x - t * self.mean)


@pytest.mark.parametrize("sigma", [0.5, 1.6])
def test_eight_steps_of_heun_end_in_the_distribution_that_the_flow_leads_to(sigma: float) -> None:
    x = torch.randn((400, 16, 16), generator=torch.Generator().manual_seed(0))
    inputs, mean = torch.zeros(400, 1, 16, 16), torch.zeros(400, 16, 16)
    end = integrate(Gaussian(0.7, sigma), inputs, mean, x, 8)  # type: ignore[arg-type]
    assert float(end.mean()) == pytest.approx(0.7, abs=0.01)
    assert float(end.std()) == pytest.approx(sigma, rel=0.02)
    # The flow of a Gaussian only stretches: each start has its own end.
    assert torch.allclose(end, 0.7 + sigma * x, atol=0.08)


def test_a_flow_that_has_learnt_nothing_leaves_the_field_as_it_is(store: Path) -> None:
    network = FlowNetwork(Transforms.from_store(store, ["sz"]), channels=4, poolings=1, shuffle=2).eval()
    x = torch.randn((20, 32, 32), generator=torch.Generator().manual_seed(2))
    end = integrate(network, torch.randn(20, 1, 32, 32), torch.randn(20, 32, 32), x, 4)
    assert torch.allclose(end, x, atol=1e-5)


def test_the_exact_velocity_has_the_least_loss(store: Path) -> None:
    """Of lines from N(0, 1) to N(m, s^2): the loss is what the direction varies by at a point."""
    transforms = Transforms.from_store(store, ["sz"])
    field, grid = RandomField(transforms.grid), ScoreGrid(transforms)
    field.amplitude.fill_(1.0)
    rng = torch.Generator().manual_seed(1)
    end = 0.4 + 0.6 * torch.randn((256, 32, 32), generator=rng)
    target = torch.stack([end, torch.zeros_like(end)], dim=1)
    packed, direction = straight_lines(torch.zeros(256, 1, 32, 32), target, field, 3)
    loss = FlowLoss(grid, 0.1, field)
    exact = loss(Gaussian(0.4, 0.6)(packed), direction)
    for mean, sigma in ((0.2, 0.6), (0.4, 0.9), (0.4, 0.3)):
        assert float(loss(Gaussian(mean, sigma)(packed), direction)) > float(exact)


# -- calibration ----------------------------------------------------------------------------------------


def field_model(store: Path) -> PosteriorModel:
    architectures = PosteriorArchitecture("field", 2), Architecture(channels=4, poolings=1)
    return PosteriorModel(*architectures, Transforms.from_store(store, ["sz"]))


def test_a_spread_that_is_wrong_by_a_factor_is_set_right(store: Path) -> None:
    model = field_model(store)
    model.field.amplitude.fill_(1.0)
    model.field.std.fill_(0.05)
    offset, temperatures = calibrate_spread(model, store, 1)
    model.field.std.fill_(0.1)
    again = calibrate_spread(model, store, 1)
    assert again[0] == pytest.approx(offset, abs=5e-3)
    assert again[1] == pytest.approx([t / 2 for t in temperatures], rel=0.05)
    drawn = model.calibrated(model.draw(torch.randn(2, 1, 32, 32), [0, 1], 40, 1))
    assert float(drawn.std(1).mean()) == pytest.approx(0.1 * float(model.temperature[1]), rel=0.1)
    assert float(drawn.mean()) == pytest.approx(float(model.offset), abs=0.01)


def test_the_part_that_a_map_has_as_a_whole_is_that_of_its_mass(store: Path) -> None:
    model = field_model(store)
    rng = torch.Generator().manual_seed(0)
    mean, small = torch.randn(3, 1, 32, 32, generator=rng), 1e-3 * torch.randn(3, 5, 32, 32, generator=rng)
    whole = 0.01 * torch.randn(3, 5, 1, 1, generator=rng)
    of_mass, rest = model.parts(small + whole, mean)
    inside = torch.from_numpy(model.transforms.grid.inside)

    def log_mass(logs: torch.Tensor) -> torch.Tensor:
        return (10.0 ** (logs + model.climatology - 8))[..., inside].double().sum(-1).log10()

    expected = log_mass(mean + small + whole) - log_mass(mean)
    assert torch.allclose(of_mass[..., 0, 0].double(), expected, atol=2e-5)
    assert torch.allclose(of_mass + rest, small + whole, atol=1e-7)


# -- whole runs -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small(settings: Settings) -> Settings:
    return replace(settings, shuffle=2, steps=4, validate_every=2)


@pytest.mark.parametrize("method", ["flow", "field", "deep", "white"])
def test_a_run_of_every_method(method: str, small: Settings, store: Path, tmp_path: Path) -> None:
    out = train_posterior(small, method, OPTIONS, tmp_path / "run", find_machine("cpu"))
    manifest = validate(out / "submission", store)
    assert manifest.kind == "baseline" and manifest.track == "sz,star"
    predictions = Predictions(out / "submission")
    assert predictions.on_grid and predictions.maps["mass_samples"].shape == (4, 3, 3, 32, 32)
    config = json.loads((out / "config.json").read_text())
    assert config["posterior"]["method"] == method and min(config["calibration"]["temperatures"]) > 0
    model = load_posterior(out)
    assert model.temperature.tolist() == pytest.approx(config["calibration"]["temperatures"], abs=1e-4)
    again = train_posterior(small, method, OPTIONS, tmp_path / "again", find_machine("cpu"), members=out)
    assert (again / "model.safetensors").read_bytes() == (out / "model.safetensors").read_bytes()
    assert not (again / "member-0").exists()


@pytest.fixture(scope="module")
def run(small: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run; not to be changed."""
    folder = tmp_path_factory.mktemp("posterior") / "run"
    return train_posterior(small, "flow", replace(OPTIONS, samples=0), folder, find_machine("cpu"))


def predicted(run: Path, store: Path, out: Path, *more: str) -> np.ndarray:
    args = [str(run), "--data", str(store), "--out", str(out), "--symmetries", "1", "--quiet", *more]
    assert command(predict.main, *args).returncode == 0
    return Predictions(out).read("mass_samples", np.arange(4))


def test_samples_follow_from_the_seed_and_others_have_the_same_beginning(
    run: Path, store: Path, tmp_path: Path
) -> None:
    first = predicted(run, store, tmp_path / "a", "--samples", "4")
    assert np.array_equal(first, predicted(run, store, tmp_path / "b", "--samples", "4"))
    other = predicted(run, store, tmp_path / "c", "--samples", "4", "--seed", "1")
    words = (run, "--data", store, "--out", tmp_path / "e", "--seed")
    refused(predict.main, *words, 2**32, said="--seed is 0 to 4294967295, not 4294967296")
    assert not np.isclose(first, other, rtol=1e-3).all()
    # At redshift 0 another scaling changes nothing.
    assert np.array_equal(first, predicted(run, store, tmp_path / "s", "--samples", "4", "--scaling", "none"))
    assert predicted(run, store, tmp_path / "d").shape[2] == 16
    scores = score_submission(tmp_path / "d", store)["scores"]
    assert scores["crps"]["value"] > 0 and "tarp" in scores


def test_a_member_never_saw_its_fold_and_is_a_model_of_its_own(run: Path, small: Settings) -> None:
    config = json.loads((run / "member-1" / "config.json").read_text())
    assert config["fold"] == [1, 2] and "fold 2 of 2" in config["name"]
    assert from_pretrained(run / "member-1").architecture.shuffle == 2
    weights = [from_pretrained(run / f"member-{k}").state_dict()["network.head.weight"] for k in (0, 1)]
    assert not torch.equal(*weights)


def test_a_run_killed_between_the_two_files_of_a_member_goes_on(
    run: Path, small: Settings, tmp_path: Path
) -> None:
    again = shutil.copytree(run, tmp_path / "again")
    (again / "member-1" / "config.json").unlink()
    train_posterior(small, "flow", replace(OPTIONS, samples=0), again, find_machine("cpu"))
    for name in ("member-1/config.json", "model.safetensors"):
        assert (again / name).read_bytes() == (run / name).read_bytes()


def test_another_run_in_the_same_folder_is_refused(run: Path, small: Settings) -> None:
    machine = find_machine("cpu")
    for method, options, settings, members in (
        ("field", OPTIONS, small, None),
        ("flow", replace(OPTIONS, folds=3), small, None),
        ("flow", OPTIONS, replace(small, lr=1.0), None),
        ("flow", OPTIONS, small, run.parent),
    ):
        with pytest.raises(InputError, match="holds a run with other settings"):
            train_posterior(settings, method, options, run, machine, members=members)
    with pytest.raises(InputError, match="no run with 2 finished networks"):
        train_posterior(small, "field", OPTIONS, run.parent / "new", machine, members=run.parent)
    assert not list((run.parent / "new").iterdir())


def test_members_of_other_data_or_folds_are_refused(run: Path, small: Settings, tmp_path: Path) -> None:
    """Their errors on what they have seen would pass for those on new clusters."""
    machine = find_machine("cpu")
    other = tiny_store(tmp_path / "other", halos=(12, 4, 4), n_los=3, pixels=32, seed=5)
    more = shutil.copytree(run, tmp_path / "more")
    shutil.copytree(run / "member-1", more / "member-2")
    for settings, folds, members in ((replace(small, data=str(other)), 2, run), (small, 3, more)):
        with pytest.raises(InputError, match="trained on other data, or on other folds"):
            train_posterior(
                settings, "field", replace(OPTIONS, folds=folds), tmp_path / "n", machine, members=members
            )


def test_a_config_that_describes_another_model_is_refused(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "other")
    config = json.loads((run / "config.json").read_text())
    for content, message in (
        ({"method": "magic", "members": 2}, "no model of posterior samples"),
        ({"method": "flow", "members": 10**9}, "members"),
        ({"method": "flow", "members": 2, "channels": 2**20}, "weights of another network"),
        ({"method": "flow", "members": True}, "of these sizes"),
        ({"method": "field", "members": 2}, "weights of another network"),
        (3, "describes no model"),
    ):
        (tmp_path / "other" / "config.json").write_text(json.dumps({**config, "posterior": content}))
        with pytest.raises(InputError, match=message):
            load_posterior(tmp_path / "other")


def test_a_model_of_samples_is_no_model_of_maps(run: Path) -> None:
    with pytest.raises(InputError, match="posterior samples"):
        from_pretrained(run)


@pytest.mark.parametrize(
    ("main", "args", "message"),
    [
        (flow.main, ["--samples", "1"], "--samples 2 to 64"),
        (flow.main, ["--folds", "1"], "--folds must be at least 2"),
        (flow.main, ["--heun-steps", "0"], "--flow-steps and --heun-steps must be at least 1"),
        (flow.main, ["--flow-lr", "nan"], "--flow-lr above 0 and finite"),
        (flow.main, ["--loss", "huber"], "unrecognized arguments: --loss"),
        (ensemble.main, ["--calibrate"], "unrecognized arguments: --calibrate"),
        (ensemble.main, ["--method", "flow"], "invalid choice"),
        (ensemble.main, ["--data", "STORE", "--views", "radio"], "radio"),
    ],
)
def test_mistakes_are_told_in_one_line(
    main, args: list[str], message: str, store: Path, tmp_path: Path
) -> None:
    words = [store if word == "STORE" else word for word in args]
    refused(main, *words, "--out", tmp_path / "run", "--device", "cpu", said=message)


def test_a_model_of_maps_takes_no_samples(run: Path, store: Path, tmp_path: Path) -> None:
    words = ("--data", store, "--out", tmp_path / "s", "--samples", "4")
    refused(predict.main, run / "member-0", *words, said="predicts one map")


def test_the_help_names_the_defaults_of_the_members(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        flow.main(["--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert "[32; cpu: 16]" in said and "[4; cpu: 3]" in said and "--loss" not in said


def test_the_error_of_a_flow_is_the_same_every_time(store: Path, small: Settings) -> None:
    transforms = Transforms.from_store(store, ["sz"])
    network = FlowNetwork(transforms, channels=4, poolings=1, shuffle=2)
    rows = Rows(torch.randn(5, 1, 32, 32), torch.randn(5, 2, 32, 32), np.arange(5), np.arange(5))
    loss = FlowLoss(ScoreGrid(transforms), 0.1, RandomField(transforms.grid))
    first = flow_error(network.eval(), rows, loss, small)
    assert first == flow_error(network, rows, loss, small) and first > 0
    assert math.isnan(flow_error(network, rows.take(np.zeros(0, int)), loss, small))
