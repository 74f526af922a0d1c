"""What every step must keep that changes a trained network: asked of one, on a small network and noise."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import architectures
from bench.training.artefacts import fresh_network, open_artefact
from bench.training.losses import segmentation_loss
from methods import About, Convert, Material, Reshape, TorchArtefact
from methods.converting.agreement import tolerance

NETWORK = "unet-8-16"
SIDE, LARGER = 16, 32
NOISES = 4
"""Images of noise, and batches of two of them."""


def noise_material(about: About, side: int) -> Material:
    """Noise instead of training images."""
    sides = [side] * about.spatial_dims

    def image(k: int) -> Tensor:
        return torch.randn(1, about.in_channels, *sides, generator=torch.Generator().manual_seed(k))

    def batches(wanted: int) -> list[tuple[Tensor, Tensor]]:
        xs = [torch.cat([image(k), image(k + 1)]) for k in range(min(wanted, NOISES))]
        return [(x, (x[:, 0] > 0).to(torch.uint8)) for x in xs]

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        return segmentation_loss(logits, labels).mean()

    def images(at_most: int) -> list[Tensor]:
        return [image(k) for k in range(min(at_most, NOISES))]

    return Material(image(0), images, batches, loss, architectures.stride(about.architecture))


def network_of_noise(about: About) -> nn.Module:
    """A network with random weights, some of which training would have moved."""
    torch.manual_seed(0)
    module = fresh_network(about)
    module.train()(
        torch.randn(2, about.in_channels, *[LARGER] * about.spatial_dims)
    )  # statistics of batches
    return module.eval()


def on_converting(step: Convert, dims: int, channels: int) -> Iterator[str]:
    """Its artefact says what it is, and predicts the same once it is read back."""
    about = About(NETWORK, dims, 1, channels, SIDE, classes=tuple("abc"[: max(1, channels - 1)]))
    module = network_of_noise(about)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    made = step.convert(module, about, noise_material(about, SIDE))
    if any(not torch.equal(value, before[name]) for name, value in module.state_dict().items()):
        yield "changes the weights of its source"
    said = made.about
    if said is None or not said.runtime or not said.precision:
        yield "its artefact does not say its runtime and precision"
        return
    x = torch.randn(1, 1, *[SIDE] * dims, generator=torch.Generator().manual_seed(9))
    logits = made.predict(x)
    if tuple(logits.shape) != (1, channels, *x.shape[2:]) or logits.dtype != torch.float32:
        wanted = (1, channels, *x.shape[2:])
        yield f"predicts {tuple(logits.shape)} in {logits.dtype}, not logits {wanted} in fp32"
    larger = torch.randn(2, 1, *[LARGER] * dims, generator=torch.Generator().manual_seed(8))
    if tuple(made.predict(larger).shape) != (2, channels, *larger.shape[2:]):
        yield "can't take two larger images"
    plain = TorchArtefact(module).predict(x)
    if (
        said.runtime != "torch"
        and said.precision == "fp32"
        and (logits - plain).abs().max() > tolerance(said.runtime)
    ):
        yield f"in fp32 its logits differ by {(logits - plain).abs().max():.2g}"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "artefact.safetensors"
        made.save(path)
        again = open_artefact(path)
        if again.about != said:
            yield "read back, it says of itself something else"
        if not torch.equal(again.predict(x), logits):
            yield "read back, it predicts something else"


def on_reshaping(step: Reshape, dims: int, channels: int) -> Iterator[str]:
    """Its network is rebuilt from what it says, takes the same weights, and predicts the same."""
    about = About(NETWORK, dims, 1, channels, SIDE)
    network, shape = step.reshape(network_of_noise(about), noise_material(about, SIDE))
    yield from rebuilt(network.eval(), about, shape)


def rebuilt(network: nn.Module, about: About, shape: Mapping[str, Any] | None) -> Iterator[str]:
    """Faults of a network whose file must say its shape."""
    made = TorchArtefact(network, About(**{**vars(about), "shape": shape}))
    x = torch.randn(1, 1, *[LARGER] * about.spatial_dims, generator=torch.Generator().manual_seed(9))
    logits = made.predict(x)
    if tuple(logits.shape) != (1, about.out_channels, *x.shape[2:]):
        yield f"predicts {tuple(logits.shape)}"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "artefact.safetensors"
        made.save(path)
        if not torch.equal(open_artefact(path).predict(x), logits):
            yield "read back, it predicts something else"
    stride = architectures.stride(about.architecture)
    if any(side % stride for side in x.shape[2:]):
        yield f"must take sides that are multiples of {stride}"
