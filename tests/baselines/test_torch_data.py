"""Torch datasets: every row once, transforms that invert, symmetries that form a group."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from baselines.data import load_rows
from benchmarks.sealing import seal
from three_hundred_maps.errors import InputError
from three_hundred_maps.geometry import score_log
from three_hundred_maps.store.arrays import read_split
from three_hundred_maps.store.statistics import ViewStatistics, read_statistics
from three_hundred_maps.torch_data import (
    SYMMETRIES,
    LogTransform,
    MapDataset,
    ScoreGrid,
    StreamDataset,
    Transforms,
    apply_symmetry,
    undo_symmetry,
)
from three_hundred_maps.torch_inputs import log_transform

VIEWS = ("sz", "xray", "star")


def test_the_eight_symmetries_differ_and_form_a_group():
    square = torch.arange(9.0).reshape(3, 3)
    turned = [apply_symmetry(square, k) for k in range(SYMMETRIES)]
    assert len({tuple(t.flatten().tolist()) for t in turned}) == 8
    products = {tuple(apply_symmetry(t, k).flatten().tolist()) for t in turned for k in range(SYMMETRIES)}
    assert products == {tuple(t.flatten().tolist()) for t in turned}


@pytest.mark.parametrize("number", range(SYMMETRIES))
def test_a_symmetry_is_undone(number):
    maps = torch.rand(2, 3, 5, 5)
    assert torch.equal(undo_symmetry(apply_symmetry(maps, number), number), maps)


@pytest.mark.parametrize("number", [-1, 8])
def test_there_are_eight_symmetries(number):
    with pytest.raises(ValueError, match="0 to 7"):
        apply_symmetry(torch.zeros(2, 2), number)


@given(
    st.floats(1e-12, 1e12),
    st.floats(-10, 20),
    st.floats(0.05, 3),
    st.lists(st.floats(0, 1e4), min_size=1, max_size=20),
)
@settings(max_examples=60, deadline=None)
def test_a_transform_is_inverted_also_at_zero(offset, mean, std, multiples):
    transform = LogTransform("sz", offset, mean, std)
    maps = torch.tensor(multiples, dtype=torch.float64) * offset
    back = transform.inverse(transform.forward(maps))
    torch.testing.assert_close(back, maps, rtol=1e-9, atol=1e-9 * offset)


def test_inputs_are_standard_over_train(store):
    dataset = MapDataset(store, views=VIEWS, transforms=Transforms.from_store(store, VIEWS))
    inputs = torch.stack([dataset[i][0] for i in range(len(dataset))])
    assert inputs.shape == (36, 3, 32, 32)
    # The histogram's bins are 0.02 dex wide: that is the accuracy of the moments.
    assert inputs.mean((0, 2, 3)).abs().max() < 0.02
    assert (inputs.std((0, 2, 3)) - 1).abs().max() < 0.02


def test_inputs_and_target_of_another_redshift_are_as_standard(store, tmp_path):
    late = Transforms.from_store(store, VIEWS)
    early_store = shutil.copytree(store, tmp_path / "early")
    zarr.open_group(early_store, mode="r+")["train"]["redshift"][...] = 1.0
    early = Transforms.from_store(early_store, VIEWS)
    assert early.mass_factor(1.0) < 0.5 and early.climatology[0] < late.climatology[0] - 0.3
    items = [MapDataset(path, views=VIEWS, transforms=t) for path, t in ((store, late), (early_store, early))]
    for row in (0, 35):
        (inputs, target, _), (others, other, _) = (dataset[row] for dataset in items)
        torch.testing.assert_close(others, inputs, rtol=0, atol=1e-5)
        mass = late.mass(target)
        kept = mass > 10**6.5  # at redshift 0 these lie above the floor of the score grid
        assert kept.float().mean() > 0.9
        torch.testing.assert_close(other[kept], target[kept], rtol=0, atol=1e-5)
        torch.testing.assert_close(early.mass(other, 1.0)[kept], mass[kept], rtol=1e-4, atol=0)
    plain = Transforms.from_store(early_store, VIEWS, scaling="none")
    assert plain.inputs == late.inputs and plain.climatology == late.climatology


def test_transforms_restore_the_maps(store):
    transforms = Transforms.from_store(store, VIEWS)
    maps = torch.from_numpy(
        np.stack([read_split(store, "train", [v]).maps[v][0] for v in VIEWS], axis=1)
    ).double()
    back = transforms.restore(transforms.standardise(maps))
    for i, item in enumerate(transforms.inputs):
        torch.testing.assert_close(back[:, i], maps[:, i], rtol=1e-9, atol=1e-9 * item.offset)


def test_the_items_are_what_the_baselines_train_on(store):
    transforms = Transforms.from_store(store, ("sz", "star"))
    raw = MapDataset(store, views=transforms.views)
    dataset = MapDataset(store, views=transforms.views, transforms=transforms)
    rows = load_rows(store, "train", transforms, ScoreGrid(transforms), device=torch.device("cpu"))
    assert len(rows) == len(dataset)
    for row in range(len(rows)):
        inputs, target, _ = dataset[row]
        assert torch.equal(inputs, rows.inputs[row])
        torch.testing.assert_close(target[0], rows.target[row], rtol=0, atol=1e-6)
        # The benchmark's own definition.
        logs = score_log(raw[row][1][0].numpy(), transforms.grid.pixel)
        expected = logs - transforms.climatology_map().numpy()
        np.testing.assert_allclose(target[0].numpy(), expected, atol=3e-6)


def test_the_climatology_map_is_that_of_the_statistics_at_the_rings(store):
    transforms = Transforms.from_store(store, ("sz",))
    known = read_statistics(store).climatology
    assert transforms.climatology == tuple(known.climatology)
    values = transforms.climatology_map()
    assert values.shape == (32, 32)
    assert values[0, 0] == pytest.approx(known.climatology[-1])  # the corner lies beyond the last ring
    assert torch.equal(values, values.T) and torch.equal(values, values.flip(0))


def test_transforms_go_through_json_with_their_version(store):
    import json

    transforms = Transforms.from_store(store, VIEWS)
    content = json.loads(json.dumps(transforms.to_dict()))
    assert Transforms.from_dict(content) == transforms
    with pytest.raises(InputError, match="version 0"):
        Transforms.from_dict({**content, "version": 0})
    for wrong, message in (
        ({"pixels": 200_000}, "for 200000 pixels"),
        ({"pixels": 80.5}, "for 80.5 pixels"),
        ({"width": float("nan")}, "no statistics give"),
        ({"climatology": ["8"]}, "not complete"),
        ({"inputs": [{"view": "sz", "offset": 1.0, "mean": 0.0, "std": 0.0}]}, "no statistics give"),
    ):
        with pytest.raises(InputError, match=message):
            Transforms.from_dict({**content, **wrong})
    del content["climatology"]
    with pytest.raises(InputError, match="climatology"):
        Transforms.from_dict(content)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([0.0, 0.0], "every pixel of ksz in train is 0"),
        ([3.0, 3.0], "ksz has one and the same value"),
        ([-1.0, *[0.0] * 18, 2.0], "over two thirds of the pixels of ksz in train are alike"),
    ],
)
def test_a_view_without_contrast_is_not_standardised(values, said):
    with pytest.raises(InputError, match=f"STORE: {said}"):
        log_transform("ksz", ViewStatistics.of(np.array([values])), "STORE")


def test_a_missing_statistic_raises(store):
    with pytest.raises(InputError, match="no statistics of kinetic"):
        Transforms.from_store(store, ("sz", "kinetic"))


def test_a_row_is_the_maps_of_one_halo_and_line_of_sight(store):
    dataset = MapDataset(store, "test", VIEWS)
    arrays = read_split(store, "test")
    inputs, target, key = dataset[7]
    halo, los = divmod(7, 3)
    for i, view in enumerate(VIEWS):
        assert np.array_equal(inputs[i], arrays.maps[view][halo, los])
    assert np.array_equal(target[0], arrays.maps["mass"][halo, los])
    assert key.tolist() == [
        dataset.simulations.index(arrays.halos["simulation"][halo]),
        *(int(arrays.halos[k][halo]) for k in ("region", "snapshot", "halo_id")),
        los,
    ]
    assert inputs.dtype == target.dtype == torch.float32
    with pytest.raises(IndexError):
        dataset[12]


def test_symmetries_turn_inputs_and_target_alike(store):
    torch.manual_seed(3)
    plain = MapDataset(store, views=["sz"])
    turned = MapDataset(store, views=["sz"], symmetries=True)
    seen = set()
    for row in range(24):
        inputs, target, _ = turned[row]
        number = next(k for k in range(8) if torch.equal(apply_symmetry(plain[row][0], k), inputs))
        assert torch.equal(apply_symmetry(plain[row][1], number), target)
        seen.add(number)
    assert len(seen) > 4


def test_a_data_loader_batches_it(store):
    inputs, target, key = next(iter(DataLoader(MapDataset(store, views=VIEWS), batch_size=4)))
    assert inputs.shape == (4, 3, 32, 32) and target.shape == (4, 1, 32, 32) and key.shape == (4, 5)


@given(st.integers(1, 4), st.integers(1, 13), st.integers(1, 3), st.integers(0, 5))
@settings(max_examples=8, deadline=None)
def test_streaming_parts_give_every_row_once(store, ranks, block, buffer, epoch):
    keys = []
    for rank in range(ranks):
        stream = StreamDataset(store, views=["sz"], block=block, buffer=buffer, rank=rank, ranks=ranks)
        stream.epoch = epoch
        keys += [tuple(key.tolist()) for _, _, key in stream]
    dataset = MapDataset(store, views=["sz"])
    assert sorted(keys) == sorted(tuple(dataset[i][2].tolist()) for i in range(len(dataset)))


def test_streaming_shuffles_by_seed_and_epoch(store):
    stream = StreamDataset(store, views=["sz"], block=4)

    def order() -> list[tuple[int, ...]]:
        return [tuple(key.tolist()) for _, _, key in stream]

    first = order()
    assert order() == first
    stream.epoch = 1
    assert order() != first


@pytest.mark.parametrize(
    ("views", "message"),
    [
        (["sz", "kinetic"], "no view 'kinetic'.*it has sz, xray, star, mass"),
        (["sz", "sz"], "named twice"),
        (["mass"], "cannot be an input"),
        ([], "no view is named"),
        ("sz", "a list of names, not the text 'sz'"),
    ],
)
def test_views_that_cannot_be_are_refused(store, views, message):
    with pytest.raises(InputError, match=message):
        MapDataset(store, views=views)


def test_an_unknown_split_and_foreign_transforms_are_refused(store):
    with pytest.raises(InputError, match="no split 'dev'"):
        MapDataset(store, "dev", ["sz"])
    star = Transforms.from_store(store, ["star"])
    with pytest.raises(InputError, match="for the views star, not sz"):
        MapDataset(store, views=["sz"], transforms=star)
    with pytest.raises(InputError, match="of 32 pixels over 4 R200c; those of .* have 32 over 2"):
        MapDataset(store, views=["star"], transforms=replace(star, width=4.0))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda store: MapDataset(store, halos=2), "halos must be a slice, as slice"),
        (lambda store: MapDataset(store, halos=[]), "halos must be a slice, as slice"),
        (lambda store: StreamDataset(store, block=0), "blocks 1 or more"),
        (lambda store: StreamDataset(store, rank=2, ranks=2), "rank 2 of 2"),
        (
            lambda store: Transforms.from_store(store, "sz"),
            "views must be a list of names, not the text 'sz'",
        ),
        (lambda store: Transforms.from_store(store, ["sz"], scaling="z"), "scaling is one of fixed_mass"),
    ],
)
def test_what_no_data_set_is_made_of_is_refused(store, make, message):
    with pytest.raises(InputError, match=message):
        make(store)


def test_a_row_is_a_whole_number_of_any_type(store):
    rows = MapDataset(store, views=["sz"])
    for row in (np.int8(-1), np.uint8(2), torch.tensor(3)):
        assert torch.equal(rows[row][0], rows[int(row)][0])
    for row in (slice(2), [1, 2], 1.0):
        with pytest.raises(TypeError, match="cannot be interpreted as an integer"):
            rows[row]


def test_sealed_inputs_open_without_their_truth(tmp_path, store):
    inputs, _ = seal(store, tmp_path / "sealed")
    transforms = Transforms.from_store(store, ("sz", "star"))
    options = {"views": transforms.views, "transforms": transforms, "target": False}
    dataset = MapDataset(inputs, "test", **options)
    plain = MapDataset(store, "test", **options)
    assert len(dataset) == len(plain) == 12 and dataset.simulations == ()
    stand = {row.numpy().tobytes() for row, _, _ in plain}
    for row in range(len(dataset)):
        maps, target, key = dataset[row]
        assert maps.numpy().tobytes() in stand and target.shape == (0, 32, 32)
        assert key.tolist() == [read_split(inputs, "test", []).halos["key"][row // 3], row % 3]
    streamed = {tuple(key.tolist()) for _, _, key in StreamDataset(inputs, "test", block=3, **options)}
    assert streamed == {tuple(key.tolist()) for _, _, key in dataset}
    with pytest.raises(InputError, match="no view mass|no view 'mass'"):
        MapDataset(inputs, "test", ["sz"])
    with pytest.raises(InputError, match="no split train"):
        MapDataset(inputs, "train", ["sz"], target=False)
    chunk = next(path for path in (inputs / "test" / "sz" / "c").rglob("*") if path.is_file())
    data = bytearray(chunk.read_bytes())
    chunk.unlink()
    with pytest.raises(InputError, match="test/sz/c/.* is missing"):
        read_split(inputs, "test", ["sz"])
    chunk.write_bytes(data[:-20])
    with pytest.raises(InputError, match="test/sz/c/.* is damaged"):
        read_split(inputs, "test", ["sz"])


def test_an_item_may_be_a_dict(store):
    plain, named = (MapDataset(store, views=VIEWS, as_dict=d) for d in (False, True))
    assert list(named[3]) == ["inputs", "target", "key"]
    assert all(torch.equal(a, b) for a, b in zip(plain[3], named[3].values(), strict=True))


@pytest.mark.parametrize("stop", [0, 1, 7, 12, 23, 36])
def test_a_stopped_epoch_goes_on_with_the_same_rows(store, stop):
    def stream():
        made = StreamDataset(store, views=VIEWS, symmetries=True, seed=3, block=2, buffer=2, as_dict=True)
        made.epoch = 5
        return made

    whole, begun, resumed = list(stream()), stream(), stream()
    items = iter(begun)
    for _ in range(stop):
        next(items)
    resumed.epoch = 0
    resumed.load_state_dict(begun.state_dict())
    rest = list(resumed)
    assert resumed.epoch == 5 and len(rest) == len(whole) - stop
    for item, expected in zip(rest, whole[stop:], strict=True):
        assert all(torch.equal(item[name], expected[name]) for name in expected)
    assert len(list(resumed)) == len(whole)  # the next epoch is a whole one
    assert resumed.state_dict()["given"] == 0


def test_blocks_that_were_given_are_not_read_again(store, monkeypatch):
    stream = StreamDataset(store, views=VIEWS, block=2, buffer=1)
    stream.load_state_dict({**stream.state_dict(), "given": 2 * 2 * stream.lines + 1})
    read = []
    monkeypatch.setattr(
        "three_hundred_maps.torch_data.read_split",
        lambda *words: read.append(words[3]) or read_split(*words),
    )
    assert len(list(stream)) == 36 - 4 * stream.lines - 1
    assert len(read) == -(-stream.halos // 2) - 2


def test_a_state_of_another_order_is_refused(store):
    state = StreamDataset(store, views=VIEWS, seed=1).state_dict()
    with pytest.raises(InputError, match=r"this state is of seed, block, .* = \[1, 32, 4, 0, 1, "):
        StreamDataset(store, views=VIEWS, seed=2).load_state_dict(state)
