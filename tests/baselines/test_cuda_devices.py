"""Training, prediction and projection as on a GPU, without one: torch's fake tensors know devices, no values.

An operation on tensors of two devices fails as it would on a GPU. What depends on values (which pixels are
finite, how many particles lie inside) is answered by `Answers`; what a build without CUDA cannot do (index,
convolve) is stood in for, devices and shapes alike. Gradients are left out.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from baselines import unet
from baselines.machine import Machine
from baselines.model import MassModel
from baselines.settings import Settings
from baselines.training import Trainer
from three_hundred_maps.mapping import gpu, lines_of_sight
from three_hundred_maps.mapping.lines_of_sight import rotations
from three_hundred_maps.mapping.projection import Batch, Grid

CUDA = torch.device("cuda:0")
pytestmark = pytest.mark.filterwarnings("ignore:CUDA is not available")
aten = torch.ops.aten


class Answers(TorchDispatchMode):
    """Answers what only values tell: a number is 1 (or True), and a mask holds everywhere."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is aten._local_scalar_dense.default:
            return args[0].dtype.is_floating_point or args[0].dtype is torch.bool or 1
        if func is aten.nonzero.default:
            mask = args[0]
            return torch.zeros((mask.numel(), mask.ndim), dtype=torch.int64, device=mask.device)
        return func(*args, **(kwargs or {}))


def convolved(maps: torch.Tensor, weight: torch.Tensor, *rest: Any) -> torch.Tensor:
    """The shape and device of a convolution that keeps the size: torch's asks the GPU's library for a way."""
    return aten.mul(maps.new_empty((len(maps), weight.shape[0], *maps.shape[2:])), weight.sum())


def enlarged(maps: torch.Tensor, weight: torch.Tensor, *rest: Any) -> torch.Tensor:
    """Those of a transposed one of stride 2."""
    height, width = maps.shape[2:]
    return aten.mul(maps.new_empty((len(maps), weight.shape[1], 2 * height, 2 * width)), weight.sum())


def normalised(
    maps: torch.Tensor, mean: Any, variance: Any, *, weight: torch.Tensor, **rest: Any
) -> torch.Tensor:
    """Those of a batch normalisation."""
    return aten.mul(maps, aten.reshape(weight, (-1, 1, 1)))


OPERATIONS = {
    nn.functional.batch_norm: normalised,
    torch.nonzero: aten.nonzero,
    torch.Tensor.copy_: aten.copy_,
    torch.Tensor.__invert__: aten.bitwise_not,
    torch.conv2d: convolved,
    torch.conv_transpose2d: enlarged,
}


class Indexing(TorchFunctionMode):
    """``maps[index]`` by operations: torch's own asks for the device's library, which a CPU build has not."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.Tensor.__getitem__:
            return indexed(*args)
        if func is torch.Tensor.__setitem__:
            tensor, index, value = args
            if not isinstance(value, torch.Tensor):
                value = torch.full((), value, dtype=tensor.dtype, device=tensor.device)
            index = index if isinstance(index, tuple) else (index,)
            if any(isinstance(part, torch.Tensor) for part in index):
                assert all(isinstance(part, torch.Tensor) for part in index)
                return aten.index_put_(tensor, list(index), value)
            return aten.copy_(indexed(tensor, index), value)
        if func in OPERATIONS:
            return OPERATIONS[func](*args, **(kwargs or {}))
        if func is torch.Tensor.contiguous:
            return aten.clone(args[0], **({"memory_format": torch.contiguous_format} | (kwargs or {})))
        return func(*args, **(kwargs or {}))


def indexed(tensor: torch.Tensor, index: Any) -> torch.Tensor:
    """``tensor[index]``."""
    index = index if isinstance(index, tuple) else (index,)
    index = tuple(torch.as_tensor(part) if isinstance(part, np.ndarray | list) else part for part in index)
    taken = sum(part is not None and part is not Ellipsis for part in index)
    place = next((i for i, part in enumerate(index) if part is Ellipsis), len(index))
    index = (*index[:place], *[slice(None)] * (tensor.ndim - taken), *index[place + 1 :])
    tensors: list[torch.Tensor | None] = []
    dim = 0
    for part in index:
        if part is None:
            tensor = aten.unsqueeze(tensor, dim)
        elif isinstance(part, slice):
            first, last, step = part.indices(tensor.shape[dim])
            tensor = aten.slice(tensor, dim, first, max(last, first), step)
        elif isinstance(part, torch.Tensor):
            tensors += [None] * (dim - len(tensors)) + [part]
        else:
            tensor = aten.select(tensor, dim, int(part))
            continue
        dim += 1
    return aten.index(tensor, tensors) if tensors else tensor


class Generator(torch.Generator):
    """One of the CPU that says of what device it is: a build without CUDA makes none for that."""

    of: torch.device

    def __new__(cls, device: Any = "cpu") -> Generator:
        made = super().__new__(cls)
        made.of = torch.device(device)
        return made

    def __init__(self, device: Any = "cpu") -> None:
        """The device is what `__new__` takes."""


def moved(module: nn.Module, device: Any = None, *, memory_format: Any = None) -> nn.Module:
    """``module.to(...)`` with new parameters: fake ones cannot be changed in their place."""
    for part in module.modules():
        for name, value in part._parameters.items():
            if value is not None:
                kept = value.detach() if device is None else value.detach().to(device)
                if memory_format is not None and kept.ndim == 4:
                    kept = kept.contiguous(memory_format=memory_format)
                part._parameters[name] = nn.Parameter(kept, requires_grad=value.requires_grad)
        for name, value in part._buffers.items():
            if value is not None and device is not None:
                part._buffers[name] = value.to(device)
    return module


@pytest.fixture
def on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Tensors are fake, so that they may lie on a GPU which is not there."""

    def checked(function: Any) -> Any:
        def draw(*args: Any, **kwargs: Any) -> Any:
            result = function(*args, **kwargs)
            drawn = kwargs.get("generator")
            if drawn is not None and result.device != drawn.of:
                raise RuntimeError(f"a generator of {drawn.of} draws for {result.device}")
            return result

        return draw

    monkeypatch.setattr(torch, "Generator", Generator)
    monkeypatch.setattr(nn.Module, "to", moved)
    monkeypatch.setattr(copy, "deepcopy", twin)
    for name in ("rand", "randn", "randint", "poisson"):
        monkeypatch.setattr(torch, name, checked(getattr(torch, name)))
    with FakeTensorMode(), Answers(), Indexing(), torch.no_grad():
        yield


def twin(model: MassModel) -> nn.Module:
    """Such a model anew: a copy of fake tensors is of another mode."""
    made = MassModel(model.architecture, model.transforms).to(CUDA)
    return made.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def gpu_trainer(settings: Settings, tmp_path: Path) -> Trainer:
    return unet.make_trainer(settings, Path(settings.data), tmp_path / "checkpoint.pt", Machine(CUDA))


@pytest.fixture(autouse=True)
def _much_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("baselines.machine.free_memory", lambda device: 2**36)


@pytest.mark.usefixtures("on_a_gpu")
def test_a_step_a_validation_and_a_prediction(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(settings, views="sz,xray,star", precision="bf16", view_dropout=0.3, mass_weight=0.1)
    trainer = gpu_trainer(settings, tmp_path)

    def backward(loss: torch.Tensor) -> None:
        # torch's gradients need a device that is there.
        assert loss.device == CUDA
        for value in trainer.model.parameters():
            value.grad = torch.zeros_like(value)

    monkeypatch.setattr(torch.Tensor, "backward", backward)
    trainer.model.train()
    inputs, target = next(trainer.batches.from_step(0))
    assert inputs.device == target.device == CUDA
    loss = trainer._step(inputs, target)
    assert isinstance(loss, FakeTensor) and loss.device == CUDA
    model = trainer.average
    raw = torch.ones((2, 3, 32, 32))
    mass, _ = model.predict(raw, np.array([0.1, 0.2]), symmetries=8, bf16=True)
    assert mass.device == CUDA and mass.shape == (2, 32, 32)
    restored = model.transforms.restore(model.transforms.standardise(raw.to(CUDA)))
    assert restored.device == CUDA


@pytest.mark.usefixtures("on_a_gpu")
def test_a_constant_left_on_the_processor_is_found(settings: Settings, tmp_path: Path) -> None:
    trainer = gpu_trainer(settings, tmp_path)
    trainer.loss.weight = trainer.loss.weight.cpu()
    inputs, target = next(trainer.batches.from_step(0))
    with pytest.raises(RuntimeError, match="cuda:0.*cpu|two different devices"):
        trainer._step(inputs, target)


@pytest.mark.usefixtures("on_a_gpu")
def test_the_projection() -> None:
    position = np.random.default_rng(0).normal(0.0, 300.0, (500, 3)).astype(np.float32)
    batch = Batch(position, np.full(500, 60.0, np.float32), np.ones((500, 2), np.float32), "cubic_spline")
    grid = Grid(32, 60.0, 2000.0, 0.3)
    stamp_set, groups = gpu._groups(batch, grid, CUDA)
    for group in groups:
        lattice = gpu._Lattice.make(grid.pixels, group.level)
        image = torch.zeros(2 * 3 * lattice.cells, dtype=torch.float64, device=CUDA)
        parts = (
            batch.position,
            batch.weights,
            rotations(*lines_of_sight(3)).astype(np.float32),
            stamp_set.table,
        )
        places, weights, matrices, table = (torch.from_numpy(np.array(part)).to(CUDA) for part in parts)
        gpu._add_group(image, group, lattice, grid, places, weights, matrices, table)
