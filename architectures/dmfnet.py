"""The Dilated Multi-Fiber Network, 3-D as published and 2-D from the same class: ``dmfnet``.

Chen, Liu, Ding, Zheng, Li: 3D Dilated Multi-Fiber Network for Real-Time Brain Tumor Segmentation in
MRI, MICCAI 2019, with its public code where the paper is silent. A residual unit squeezes and expands
the channels by convolutions of size 1 (the multiplexer), then convolves in 16 separate groups (the
fibres): once with size 3, in the first two stages as a weighted sum of three dilations, and once
with size 3 × 3 × 1, that is without the last axis (in 2-D 3 × 3). Every convolution but the first and
the head stands behind BatchNorm and ReLU and has no bias. 3-D with four input channels and four
classes: 3,875,890 parameters. The published network ends in a softmax; this one returns logits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

NAMES = ("dmfnet",)
STEM, WIDTH, GROUPS = 32, 128, 16
DILATIONS = (1, 2, 3)

_CONV = {2: nn.Conv2d, 3: nn.Conv3d}
_NORM = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
_LINEAR = {2: "bilinear", 3: "trilinear"}


def understands(name: str) -> bool:
    """Whether ``name`` is ``dmfnet``."""
    return name in NAMES


def stride(name: str) -> int:
    """Four halvings of the side."""
    return 16


def build(name: str, spatial_dims: int, in_channels: int, out_channels: int) -> nn.Module:
    """The published network in 2-D or 3-D."""
    return DMFNet(spatial_dims, in_channels, out_channels)


class DMFNet(nn.Module):
    """The network; its first two stages are dilated.

    In 3-D the last axis is the one that the planar convolutions leave out: the axial direction of a
    volume in canonical orientation.

    Args:
        spatial_dims: 2 or 3.
        in_channels: channels of the input.
        out_channels: channels of the logits.
    """

    def __init__(self, spatial_dims: int = 2, in_channels: int = 1, out_channels: int = 1) -> None:
        super().__init__()
        conv = _CONV[spatial_dims]
        self.upsample = _LINEAR[spatial_dims]

        def stage(inputs: int, middle: int, outputs: int, dilations: Sequence[int]) -> nn.Sequential:
            return nn.Sequential(
                MultiFiberUnit(spatial_dims, inputs, middle, 2, dilations),
                MultiFiberUnit(spatial_dims, middle, middle, 1, dilations),
                MultiFiberUnit(spatial_dims, middle, outputs, 1, dilations),
            )

        w = WIDTH
        self.stem = conv(in_channels, STEM, 3, stride=2, padding=1, bias=False)
        self.encoder = nn.ModuleList(
            [
                stage(STEM, w, w, DILATIONS),
                stage(w, 2 * w, 2 * w, DILATIONS),
                stage(2 * w, 3 * w, 2 * w, (1,)),
            ]
        )
        self.decoder = nn.ModuleList(
            [
                MultiFiberUnit(spatial_dims, 2 * w + 2 * w, 2 * w),
                MultiFiberUnit(spatial_dims, 2 * w + w, w),
                MultiFiberUnit(spatial_dims, w + STEM, STEM),
            ]
        )
        self.head = conv(STEM, out_channels, 1, bias=False)
        self.initialise()

    def initialise(self) -> None:
        """Draw the weights that don't keep torch's default.

        The published code initialises everything and then replaces the dilated stages: those keep torch's
        default. So do they here.
        """
        for part in (self.stem, self.encoder[2], self.decoder, self.head):
            for module in part.modules():
                if isinstance(module, nn.Conv2d | nn.Conv3d):
                    nn.init.kaiming_normal_(module.weight)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, in_channels, *spatial)`` to logits ``(N, out_channels, *spatial)``."""
        return self.forward_intermediates(x)[0]

    def forward_intermediates(self, x: Tensor) -> tuple[Tensor, dict[tuple[str, int], Tensor]]:
        """Logits and the feature after the stem and every stage.

        Raises:
            ValueError: a side of ``x`` that is no multiple of 16.
        """
        if any(side % 16 for side in x.shape[2:]):
            raise ValueError(f"every side must be a multiple of 16, not {tuple(x.shape[2:])}")
        taps: dict[tuple[str, int], Tensor] = {}
        x = taps["encoder", 2] = self.stem(x)
        for stride, encode in zip((4, 8, 16), self.encoder, strict=True):
            x = taps["encoder", stride] = encode(x)
        for stride, decode in zip((8, 4, 2), self.decoder, strict=True):
            x = decode(torch.cat([taps["encoder", stride], self._double(x)], dim=1))
            taps["decoder", stride] = x
        return self.head(self._double(x)), taps

    def _double(self, x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=2, mode=self.upsample, align_corners=False)


class MultiFiberUnit(nn.Module):
    """Multiplexer, grouped convolutions, shortcut; with several ``dilations`` their weighted sum.

    Args:
        spatial_dims: 2 or 3.
        in_channels: channels of the input.
        out_channels: channels of the output.
        stride: 1 or 2.
        dilations: of the first grouped convolution, one branch each. The branches' weights are
            unconstrained scalars that start at one.
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        dilations: Sequence[int] = (1,),
    ) -> None:
        super().__init__()
        middle = min(in_channels, out_channels)
        plane = (3, 3, 1)[:spatial_dims]
        self.squeeze = preactivated(spatial_dims, in_channels, in_channels // 4, 1)
        self.expand = preactivated(spatial_dims, in_channels // 4, middle, 1)
        self.branches = nn.ModuleList(
            preactivated(spatial_dims, middle, out_channels, 3, stride, GROUPS, d) for d in dilations
        )
        self.branch_weights = nn.Parameter(torch.ones(len(dilations))) if len(dilations) > 1 else None
        self.plane = preactivated(spatial_dims, out_channels, out_channels, plane, groups=GROUPS)
        self.shortcut: nn.Module = nn.Identity()
        if stride == 2:
            self.shortcut = preactivated(spatial_dims, in_channels, out_channels, 2, stride=2)
        elif in_channels != out_channels:
            self.shortcut = preactivated(spatial_dims, in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, in_channels, *spatial)`` to ``(N, out_channels, *spatial / stride)``."""
        mixed = self.expand(self.squeeze(x))
        features = [branch(mixed) for branch in self.branches]
        if self.branch_weights is not None:
            features = [w * f for w, f in zip(self.branch_weights, features, strict=True)]
        return self.plane(sum(features[1:], features[0])) + self.shortcut(x)


def preactivated(
    spatial_dims: int,
    in_channels: int,
    out_channels: int,
    kernel_size: int | tuple[int, ...],
    stride: int = 1,
    groups: int = 1,
    dilation: int = 1,
) -> nn.Sequential:
    """BatchNorm, ReLU, convolution without bias; odd kernels keep the side."""
    sizes = kernel_size if isinstance(kernel_size, tuple) else (kernel_size,) * spatial_dims
    padding = tuple((size - 1) // 2 * dilation for size in sizes)
    conv: Callable[..., nn.Module] = _CONV[spatial_dims]
    return nn.Sequential(
        _NORM[spatial_dims](in_channels),
        nn.ReLU(inplace=True),
        conv(in_channels, out_channels, sizes, stride, padding, dilation, groups, bias=False),
    )
