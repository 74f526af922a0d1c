"""What all conversions keep to: the module, the folder and the screen stay as they were."""

import pytest
import torch
from commands import needs
from converted import KINDS, NEEDED, converted, network, samples
from torch import nn

from methods.converting import int8, onnxruntime, openvino

FP32 = {"openvino": openvino, "onnxruntime": onnxruntime}


@pytest.mark.parametrize(("runtime", "precision"), KINDS)
def test_nothing_else_is_touched_and_the_same_graph_comes_again(
    runtime, precision, tmp_path, monkeypatch, recwarn, capfd
):
    first = converted(runtime, precision, "unet-2-4", 2)
    module = network("unet-2-4", 2)
    state = {name: value.clone() for name, value in module.state_dict().items()}
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(onnxruntime, "exported", onnxruntime.exported.__wrapped__)
    recwarn.clear()
    capfd.readouterr()
    again = converted.__wrapped__(runtime, precision, "unet-2-4", 2)
    assert list(tmp_path.iterdir()) == []
    assert [str(warning.message) for warning in recwarn] == []
    assert capfd.readouterr() == ("", "")
    assert module.training
    assert all(parameter.requires_grad for parameter in module.parameters())
    assert all(torch.equal(value, state[name]) for name, value in module.state_dict().items())
    assert again.parts == first.parts


class Moody(nn.Module):
    """Computes something else for dark images: what tracing can't see."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 1)

    def forward(self, x):
        y = self.conv(x)
        return y + 0.25 if float(x.mean()) < 0 else y


def test_a_graph_that_computes_something_else_is_refused_with_the_difference():
    needs("openvino")
    bright, dark = torch.ones(1, 1, 4, 4), -torch.ones(1, 1, 4, 4)
    openvino.convert(Moody(), [bright])
    with pytest.raises(ValueError, match=r"openvino: .* differ from torch's by up to 0\.25 .* 0\.01 is"):
        openvino.convert(Moody(), [bright, dark])


@pytest.mark.parametrize("runtime", NEEDED)
def test_logits_that_are_not_finite_are_refused(runtime):
    for package in NEEDED[runtime]:
        needs(package)
    broken = nn.Conv2d(1, 1, 1)
    nn.init.constant_(broken.bias, float("nan"))
    with pytest.raises(ValueError, match="not finite"):
        FP32[runtime].convert(broken, [torch.zeros(1, 1, 4, 4)])


@pytest.mark.parametrize(("runtime", "precision"), KINDS)
def test_no_image_is_one_clear_error(runtime, precision):
    module = nn.Conv2d(1, 1, 1)
    for nothing in ([], [torch.zeros(0, 1, 4, 4)]):
        with pytest.raises(ValueError, match="no image"):
            if precision == "int8":
                int8.convert(module, nothing, runtime=runtime)
            else:
                FP32[runtime].convert(module, nothing)


@pytest.mark.parametrize("runtime", NEEDED)
def test_several_classes(runtime):
    for package in NEEDED[runtime]:
        needs(package)
    x = samples("unet-2-4", 2, 4)[0]
    graph = int8.convert(network("unet-2-4", 2, 3), [x], 2, runtime)
    assert graph.facts["changed_pixels"] < 0.1
