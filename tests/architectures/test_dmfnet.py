"""DMFNet against the published network: its size, its names, its output."""

import re

import pytest
import torch
from torch.nn import functional as F

import architectures
from architectures.dmfnet import DMFNet
from bench.compute.macs import forward_macs

UNITS = {  # published name: (in, out, stride, number of dilated branches; 0 is a plain unit)
    "encoder_block2.0": (32, 128, 2, 3),
    "encoder_block2.1": (128, 128, 1, 3),
    "encoder_block2.2": (128, 128, 1, 3),
    "encoder_block3.0": (128, 256, 2, 3),
    "encoder_block3.1": (256, 256, 1, 3),
    "encoder_block3.2": (256, 256, 1, 3),
    "encoder_block4.0": (256, 384, 2, 0),
    "encoder_block4.1": (384, 384, 1, 0),
    "encoder_block4.2": (384, 256, 1, 0),
    "decoder_block1": (512, 256, 1, 0),
    "decoder_block2": (384, 128, 1, 0),
    "decoder_block3": (160, 32, 1, 0),
}


def published_state():
    """Random weights under the names that the published code gives them."""
    generator = torch.Generator().manual_seed(0)
    state = {}

    def conv(name, out, inputs, *kernel):
        scale = (inputs * torch.tensor(kernel).prod()) ** -0.5
        state[f"{name}.weight"] = torch.randn(out, inputs, *kernel, generator=generator) * scale

    def block(name, inputs, out, kernel, groups=1):
        state[f"{name}.bn.weight"] = torch.rand(inputs, generator=generator) + 0.5
        state[f"{name}.bn.bias"] = torch.randn(inputs, generator=generator) * 0.1
        state[f"{name}.bn.running_mean"] = torch.randn(inputs, generator=generator) * 0.1
        state[f"{name}.bn.running_var"] = torch.rand(inputs, generator=generator) + 0.5
        state[f"{name}.bn.num_batches_tracked"] = torch.tensor(7)
        conv(f"{name}.conv", out, inputs // groups, *kernel)

    conv("encoder_block1", 32, 4, 3, 3, 3)
    for unit, (inputs, out, stride, branches) in UNITS.items():
        middle = min(inputs, out)
        for k in range(branches):
            state[f"{unit}.weight{k + 1}"] = torch.rand(1, generator=generator) + 0.5
        block(f"{unit}.conv1x1x1_in1", inputs, inputs // 4, (1, 1, 1))
        block(f"{unit}.conv1x1x1_in2", inputs // 4, middle, (1, 1, 1))
        for k in [f".{k}" for k in range(branches)] or [""]:
            block(f"{unit}.conv3x3x3_m1{k}", middle, out, (3, 3, 3), groups=16)
        block(f"{unit}.conv3x3x3_m2", out, out, (3, 3, 1), groups=16)
        if stride == 2:
            block(f"{unit}.conv2x2x2_shortcut", inputs, out, (2, 2, 2))
        elif inputs != out:
            block(f"{unit}.conv1x1x1_shortcut", inputs, out, (1, 1, 1))
    conv("seg", 4, 32, 1, 1, 1)
    return state


def published_logits(state, x):
    """The paper's network as plain functions of a published state dict, in evaluation mode."""

    def block(name, x, **conv):
        names = ("running_mean", "running_var", "weight", "bias")
        x = F.relu(F.batch_norm(x, *(state[f"{name}.bn.{n}"] for n in names)))
        return F.conv3d(x, state[f"{name}.conv.weight"], **conv)

    def unit(name, x):
        stride, branches = UNITS[name][2:]
        mixed = block(f"{name}.conv1x1x1_in2", block(f"{name}.conv1x1x1_in1", x))
        if branches:
            main = sum(
                state[f"{name}.weight{d}"]
                * block(
                    f"{name}.conv3x3x3_m1.{d - 1}", mixed, stride=stride, padding=d, dilation=d, groups=16
                )
                for d in (1, 2, 3)
            )
        else:
            main = block(f"{name}.conv3x3x3_m1", mixed, stride=stride, padding=1, groups=16)
        main = block(f"{name}.conv3x3x3_m2", main, padding=(1, 1, 0), groups=16)
        if f"{name}.conv2x2x2_shortcut.conv.weight" in state:
            return main + block(f"{name}.conv2x2x2_shortcut", x, stride=2)
        if f"{name}.conv1x1x1_shortcut.conv.weight" in state:
            return main + block(f"{name}.conv1x1x1_shortcut", x)
        return main + x

    def double(x):
        return F.interpolate(x, scale_factor=2, mode="trilinear")

    skips = [F.conv3d(x, state["encoder_block1.weight"], stride=2, padding=1)]
    for stage in (2, 3, 4):
        y = skips[-1]
        for k in range(3):
            y = unit(f"encoder_block{stage}.{k}", y)
        skips.append(y)
    y = skips.pop()
    for stage in (1, 2, 3):
        y = unit(f"decoder_block{stage}", torch.cat([skips.pop(), double(y)], dim=1))
    return F.conv3d(double(y), state["seg.weight"])


@pytest.mark.parametrize(
    ("dims", "inputs", "classes", "side", "parameters", "gmacs"),
    [(3, 4, 4, 128, 3_875_890, 26.363), (2, 1, 2, 256, 2_211_090, 2.459)],
)
def test_size_and_work_are_the_published_ones(dims, inputs, classes, side, parameters, gmacs):
    with torch.device("meta"):
        model = architectures.build("dmfnet", dims, inputs, classes)
    assert sum(p.numel() for p in model.parameters()) == parameters
    assert forward_macs("dmfnet", dims, inputs, classes, side) / 1e9 == pytest.approx(gmacs, abs=5e-4)


def ours(state):
    """The published implementation's state dict under our names."""
    names = (
        (r"^module\.", ""),
        (r"^encoder_block1\.", "stem."),
        (r"^encoder_block([234])\.", lambda m: f"encoder.{int(m[1]) - 2}."),
        (r"^decoder_block([123])\.", lambda m: f"decoder.{int(m[1]) - 1}."),
        (r"^seg\.", "head."),
        (r"\.conv1x1x1_in1\.", ".squeeze."),
        (r"\.conv1x1x1_in2\.", ".expand."),
        (r"\.conv3x3x3_m1\.(\d)\.", r".branches.\1."),
        (r"\.conv3x3x3_m1\.", ".branches.0."),
        (r"\.conv3x3x3_m2\.", ".plane."),
        (r"\.conv(1x1x1|2x2x2)_shortcut\.", ".shortcut."),
        (r"\.bn\.", ".0."),
        (r"\.conv\.", ".2."),
    )
    renamed, weights = {}, {}
    for published, value in state.items():
        name = published
        for pattern, replacement in names:
            name = re.sub(pattern, replacement, name)
        branch = re.fullmatch(r"(.+)\.weight[123]", name)
        if branch:
            weights.setdefault(branch[1], []).append(value.reshape(1))
        else:
            renamed[name] = value
    return renamed | {f"{unit}.branch_weights": torch.cat(values) for unit, values in weights.items()}


def test_published_weights_give_the_published_output():
    state = published_state()
    model = DMFNet(3, 4, 4).eval()
    model.load_state_dict(ours(state))
    x = torch.randn(1, 4, 32, 16, 16, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        assert torch.equal(model(x), published_logits(state, x))


def test_initialisation_is_the_published_one():
    """Kaiming everywhere but in the dilated stages, which keep torch's default."""
    torch.manual_seed(0)
    model = DMFNet(3, 4, 4)
    dilated = model.encoder[0][1].branches[0][2].weight  # 8 channels × 27 in: default std 1/sqrt(3·216)
    plain = model.encoder[2][1].branches[0][2].weight  # 24 channels × 27 in: Kaiming std sqrt(2/648)
    assert dilated.std().item() == pytest.approx((3 * 8 * 27) ** -0.5, rel=0.03)
    assert plain.std().item() == pytest.approx((2 / (24 * 27)) ** 0.5, rel=0.03)
    assert torch.equal(model.encoder[0][1].branch_weights, torch.ones(3))


def test_a_side_that_16_does_not_divide_is_named():
    with pytest.raises(ValueError, match=r"multiple of 16, not \(100, 96\)"):
        architectures.build("dmfnet")(torch.zeros(1, 1, 100, 96))
