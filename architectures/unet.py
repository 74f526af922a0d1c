"""The U-Net family of the report, 2-D and 3-D, any widths: ``unet-64-128-256-512`` and so on.

Ronneberger, Fischer, Brox: U-Net, MICCAI 2015; the report's version of it. Per block two
convolutions of size 3 with bias, each followed by InstanceNorm without affine parameters and ReLU;
max-pooling by 2 between encoder blocks; a transposed convolution of size 2 and stride 2,
concatenation with the skip and a block on the way up; a head of size 1. In 2-D with one input and
one output channel the report's four networks have 7,696,193 / 1,925,025 / 465,953 / 100,961
parameters.
"""

from __future__ import annotations

import re

import torch
from torch import Tensor, nn

NAMES = (
    "unet-64-128-256-512",
    "unet-32-64-128-256",
    "unet-32-64-128",
    "unet-32-64",
    "unet-16-32-64-128",
    "unet-8-16-32-64",
)

_CONV = {2: nn.Conv2d, 3: nn.Conv3d}
_UPCONV = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
_POOL = {2: nn.MaxPool2d, 3: nn.MaxPool3d}


class InstanceNorm2d(nn.InstanceNorm2d):
    """torch's, but channels-last stays channels-last.

    Uncompiled, torch's gives the plain layout, and every later operation turns that over for itself: a
    step on one thread takes 1.17 to 1.3 times as long. Compiled code chooses its own layouts.
    """

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, H, W)``, each channel of each sample normalised."""
        normalised = super().forward(x)
        if torch.compiler.is_compiling() or x.is_contiguous():
            return normalised
        if x.is_contiguous(memory_format=torch.channels_last):
            return normalised.contiguous(memory_format=torch.channels_last)
        return normalised


_NORM = {2: InstanceNorm2d, 3: nn.InstanceNorm3d}


def understands(name: str) -> bool:
    """Whether ``name`` is ``unet-`` and one to twelve positive widths."""
    return re.fullmatch(r"unet(-[1-9][0-9]{0,4}){1,12}", name) is not None


def widths(name: str) -> tuple[int, ...]:
    """``unet-32-64`` to ``(32, 64)``."""
    return tuple(int(width) for width in name.split("-")[1:])


def stride(name: str) -> int:
    """Two to the number of poolings."""
    return 2 ** (len(widths(name)) - 1)


def build(name: str, spatial_dims: int, in_channels: int, out_channels: int) -> nn.Module:
    """The U-Net that ``name`` spells."""
    return UNet(widths(name), spatial_dims, in_channels, out_channels)


class UNet(nn.Module):
    """A U-Net with one encoder block per width.

    Args:
        widths: channels of the encoder blocks, top to bottom; the decoder mirrors them.
        spatial_dims: 2 or 3.
        in_channels: channels of the input.
        out_channels: channels of the logits.
    """

    def __init__(
        self,
        widths: tuple[int, ...],
        spatial_dims: int = 2,
        in_channels: int = 1,
        out_channels: int = 1,
    ) -> None:
        super().__init__()
        self.stride = 2 ** (len(widths) - 1)
        inputs = (in_channels, *widths[:-1])
        self.encoder = nn.ModuleList(block(spatial_dims, i, o) for i, o in zip(inputs, widths, strict=True))
        self.pool = _POOL[spatial_dims](2)
        pairs = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.up = nn.ModuleList(_UPCONV[spatial_dims](i, o, 2, stride=2) for i, o in pairs)
        self.decoder = nn.ModuleList(block(spatial_dims, 2 * o, o) for _, o in pairs)
        self.head = _CONV[spatial_dims](widths[0], out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, in_channels, *spatial)`` to logits ``(N, out_channels, *spatial)``."""
        return self.forward_intermediates(x)[0]

    def forward_intermediates(self, x: Tensor) -> tuple[Tensor, dict[tuple[str, int], Tensor]]:
        """Logits and the feature after every block.

        Raises:
            ValueError: a side of ``x`` that the poolings don't divide.
        """
        if any(side % self.stride for side in x.shape[2:]):
            raise ValueError(f"every side must be a multiple of {self.stride}, not {tuple(x.shape[2:])}")
        taps: dict[tuple[str, int], Tensor] = {}
        stride = 1
        for level, encode in enumerate(self.encoder):
            if level:
                x = self.pool(x)
                stride *= 2
            x = taps["encoder", stride] = encode(x)
        for up, decode in zip(self.up, self.decoder, strict=True):
            stride //= 2
            x = torch.cat([taps["encoder", stride], up(x)], dim=1)
            x = taps["decoder", stride] = decode(x)
        return self.head(x), taps


def block(spatial_dims: int, in_channels: int, out_channels: int) -> nn.Sequential:
    """Two times convolution, InstanceNorm, ReLU."""
    conv, norm = _CONV[spatial_dims], _NORM[spatial_dims]
    return nn.Sequential(
        conv(in_channels, out_channels, 3, padding=1),
        norm(out_channels),
        nn.ReLU(inplace=True),
        conv(out_channels, out_channels, 3, padding=1),
        norm(out_channels),
        nn.ReLU(inplace=True),
    )
