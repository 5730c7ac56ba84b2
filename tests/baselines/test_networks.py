"""Networks: shapes, the amplitude trap, timm beside a torchvision built for another torch."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from baselines.modern_networks import ConvNeXtUNet, NAFUNet
from baselines.networks import NORMS, EncoderUNet, ResidualUNet, UNet, count_parameters, fit, norm_layer
from three_hundred_maps.errors import InputError


@pytest.mark.parametrize("size", [(80, 80), (32, 48), (37, 50), (101, 64)])
@pytest.mark.parametrize("norm", NORMS)
def test_the_output_has_the_size_of_the_input(size, norm):
    for network in (UNet(3, 2, channels=4, norm=norm), ResidualUNet(3, 2, channels=4, norm=norm, drop=0.1)):
        assert network(torch.rand(2, 3, *size)).shape == (2, 2, *size)


@pytest.mark.parametrize("size", [(4, 4), (5, 4), (4, 5), (5, 5)])
def test_what_pooling_dropped_is_repeated_with_its_gradient(size):
    x = torch.rand(2, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    like, weight = torch.empty(2, 3, *size), torch.rand(2, 3, *size, dtype=torch.float64)
    padded = torch.nn.functional.pad(x, (0, size[1] - 4, 0, size[0] - 4), mode="replicate")
    assert torch.equal(fit(x, like), padded)
    ours, theirs = (torch.autograd.grad((made * weight).sum(), x)[0] for made in (fit(x, like), padded))
    torch.testing.assert_close(ours, theirs)


def test_the_papers_network_has_the_size_that_is_published_for_it():
    # fastMRI's U-Net of 32 channels and 4 poolings has 7.76 million parameters.
    assert count_parameters(UNet(1, 1, channels=32, poolings=4, norm="instance")) == 7_756_097


def test_instance_norm_is_blind_to_the_amplitude_and_the_others_are_not():
    torch.manual_seed(0)
    inputs = torch.rand(4, 2, 32, 32)
    change = {}
    for norm in NORMS:
        network = UNet(2, 1, channels=16, poolings=2, norm=norm).eval()
        with torch.no_grad():
            once, louder = network(inputs), network(10 * inputs)
        change[norm] = float((louder - once).abs().mean() / once.abs().mean())
    assert change["instance"] < 2e-3
    assert change["batch"] > 0.5 and change["none"] > 0.5


def test_in_a_residual_network_a_corner_knows_of_the_opposite_one():
    # The squeeze over the whole map and the attention reach where convolutions of one level do not.
    torch.manual_seed(0)
    inputs = torch.rand(1, 2, 64, 64)
    changed = inputs.clone()
    changed[..., -8:, -8:] += 1.0
    reached = {}
    for kind in (UNet, ResidualUNet):
        network = kind(2, 1, channels=8, poolings=1, norm="none").eval()
        with torch.no_grad():
            difference = (network(changed) - network(inputs)).abs()
        reached[kind] = float(difference[..., :8, :8].max())
        assert float(difference[..., -8:, -8:].max()) > 1e-4
    assert reached[UNet] == 0.0 and reached[ResidualUNet] > 1e-6


MODERN = (NAFUNet, ConvNeXtUNet)


@pytest.mark.parametrize("kind", MODERN)
def test_modern_blocks_keep_the_size_and_every_weight_learns(kind):
    torch.manual_seed(0)
    network = kind(3, 2, channels=4, poolings=2, drop=0.1)
    for size in ((80, 80), (37, 50)):
        assert network(torch.rand(2, 3, *size)).shape == (2, 2, *size)
    for parameter in network.parameters():  # what starts at 0, and so hides what is behind it, included
        torch.nn.init.normal_(parameter, std=0.2)
    network(torch.rand(2, 3, 40, 40)).square().sum().backward()
    silent = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    assert not silent


@pytest.mark.parametrize("kind", MODERN)
def test_modern_blocks_move_with_the_cluster(kind):
    """A cluster far from every edge, moved by whole pixels of the lowest level, gives the same map, moved."""
    torch.manual_seed(0)
    network = kind(1, 1, channels=4, poolings=1, norm="none").eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    y, x = torch.meshgrid(*[torch.arange(160.0)] * 2, indexing="ij")
    cluster = 3 * torch.exp(-((y - 71) ** 2 + (x - 79) ** 2) / 50)[None, None]
    moved = torch.roll(cluster, (6, -4), dims=(2, 3))
    with torch.no_grad():
        first, second = network(cluster), network(moved)
    expected = torch.roll(first, (6, -4), dims=(2, 3))[..., 50:110, 50:110]
    assert torch.allclose(second[..., 50:110, 50:110], expected, rtol=1e-3, atol=1e-4 * float(expected.std()))
    assert not torch.allclose(second[..., 50:110, 50:110], first[..., 50:110, 50:110], rtol=0.1)


@pytest.mark.parametrize("kind", MODERN)
def test_modern_blocks_see_the_amplitude(kind):
    torch.manual_seed(0)
    inputs = torch.rand(4, 2, 32, 32)
    network = kind(2, 1, channels=16, poolings=2, norm="none").eval()
    with torch.no_grad():
        once, louder = network(inputs), network(10 * inputs)
    assert float((louder - once).abs().mean() / once.abs().mean()) > 0.5


def test_an_unknown_norm_is_refused():
    with pytest.raises(InputError, match="no normalisation 'weight'; there are batch"):
        norm_layer("weight", 8)


@pytest.mark.parametrize(("encoder", "size"), [("resnet10t", 80), ("regnetx_002", 80), ("resnet10t", 50)])
def test_a_timm_encoder_keeps_the_size(encoder, size):
    network = EncoderUNet(encoder, 3, 1, channels=8)
    assert network(torch.rand(2, 3, size, size)).shape == (2, 1, size, size)


def test_an_unknown_encoder_is_refused():
    with pytest.raises(InputError, match="--encoder resnet9000: timm"):
        EncoderUNet("resnet9000", 3, 1)


def test_timm_loads_where_torchvision_lacks_its_operators():
    # A torchvision built for a GPU fails at its import beside a CPU torch: here a stand-in that does just so.
    code = """
import sys, types, importlib.abc, importlib.machinery, torch
from baselines.networks import import_timm

class Broken(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path=None, target=None):
        if name == "torchvision" and not hasattr(torch.ops.torchvision, "nms"):
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
    def create_module(self, spec):
        return None
    def exec_module(self, module):
        raise RuntimeError("operator torchvision::nms does not exist")

sys.meta_path.insert(0, Broken())
timm = import_timm()
print(timm.create_model("resnet10t", num_classes=1)(torch.rand(1, 3, 64, 64)).shape)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "torch.Size([1, 1])" in done.stdout
