"""The benchmark's judge is independent of the package's reference, and both say the same."""

from __future__ import annotations

import numpy as np
import pytest

from three_hundred_maps.mapping import lines_of_sight
from three_hundred_maps.mapping.lines_of_sight import rotations
from three_hundred_maps.mapping.projection import Batch, Grid
from three_hundred_maps.mapping.reference import project
from tools.speed import projection, projection_judge, projection_peers
from tools.speed.report import installed, run


def test_judge_and_reference_agree():
    rng = np.random.default_rng(1)
    n, pixels, sigma = 150, 16, 0.2
    position = rng.normal(0.0, 4.0, (n, 3)).astype(np.float32)
    # smaller kernels are split into points, by each in its own way
    radius = rng.uniform(0.26, 4.0, n).astype(np.float32)
    weights = rng.random((n, 2)).astype(np.float32)
    turn = rotations(*lines_of_sight(2))[1:]
    batch, grid = Batch(position, radius, weights, "cubic_spline"), Grid(pixels, 1.0, 1e3, sigma)
    reference = project(batch, grid, turn)[0][:, 0]
    place = (position.astype("f8") @ turn[0].T)[:, :2] + 0.5 * pixels
    image = projection_judge.fine_image(
        projection_judge.projected_cubic, place, radius.astype("f8"), weights.astype("f8"), pixels
    )
    judged = projection_judge.to_pixels(image, pixels, sigma)
    assert np.abs(judged - reference).max() < 1e-5 * reference.max()
    assert np.median(np.abs(judged - reference)) < 1e-6 * reference.max()
    assert projection_judge.to_pixels(image, pixels, 0.0).sum() == pytest.approx(judged.sum(), rel=0.02)


def test_peers_are_registered_to_the_same_pixels():
    """What a peer draws of one wide kernel lies where ours lies: the benchmark compares like with like."""
    pixels = 40
    place = np.array([[0.40, 0.65, 0.0]], np.float32)
    peers, missing = installed({name: load for name, (load, _) in projection_peers.PEERS.items()})
    assert len(peers) + len(missing) == 5
    axis = (np.arange(pixels) + 0.5) / pixels
    for name, render in peers.items():
        image = render(place, np.array([0.2], np.float32), np.ones((1, 1), np.float32), pixels)[0]
        within = 0.5 / pixels if "nearest" in name else 0.05 / pixels
        assert np.sum(image * axis[None, :]) / image.sum() == pytest.approx(0.40, abs=within + 1e-6)
        assert np.sum(image * axis[:, None]) / image.sum() == pytest.approx(0.65, abs=within + 1e-6)
        assert image.sum() == pytest.approx(1.0, abs=0.02)


def test_the_whole_benchmark_runs_small(capsys, tmp_path):
    result = tmp_path / "result.json"
    words = ["--particles", "3000", "--turns", "1", "--judge-up-to", "0", "--json", str(result)]
    run(projection.measure, words)
    text = capsys.readouterr().out
    assert "total of maps with every kernel inside" in text and "whole cluster: CPU seconds" in text
    assert result.stat().st_size > 500
