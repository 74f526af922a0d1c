"""Training in less memory gives the same gradients: a batch in parts, features computed again."""

import copy

import pytest
import torch

import architectures
import methods
from bench.compute.compiling import has_batch_statistics
from bench.training.losses import segmentation_loss
from bench.training.micro_batches import accumulate, weights
from bench.training.recompute import recomputing


def gradients(model, method, size, dims, out_channels=1, teacher=None, labelled=16):
    """Gradients of a random batch of 16, ``size`` samples at a time, and the loss terms."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(16, 1, *[16] * dims, generator=generator)
    y = (torch.rand(16, *[16] * dims, generator=generator) * (out_channels + (out_channels == 1))).byte()
    targets = {}
    if teacher is not None:
        with torch.no_grad():
            targets = method.targets(methods.Outputs(*teacher.forward_intermediates(x)), y)

    def losses(x, y, kept):
        outputs = methods.outputs_of(model, x, method.needs_taps)
        return {"seg": segmentation_loss(outputs.logits, y)} | method.loss(outputs, kept, y)

    model.zero_grad()
    counts = weights(16, labelled, 1.0, x.device)
    terms = accumulate(losses, x, y, targets, counts, size)
    return [p.grad.clone() for p in model.parameters()], terms


def distance(ours, reference):
    """The largest difference, in parts of the largest gradient."""
    largest = max(g.abs().max() for g in reference)
    return float(max((a - b).abs().max() for a, b in zip(ours, reference, strict=True)) / largest)


def test_weights_of_a_batch_as_the_protocol_has_them():
    """L_seg: the mean over the labelled half; a teacher's: over all, those without labels times two."""
    found = weights(4, 2, 2.0, torch.device("cpu"))
    assert found.of("seg").tolist() == [0.5, 0.5, 0, 0]
    assert found.of("pm").tolist() == [0.25, 0.25, 0.5, 0.5]
    assert found.of("pseudo").tolist() == [0, 0, 0.5, 0.5]
    assert weights(4, 4, 2.0, torch.device("cpu")).of("seg").tolist() == [0.25] * 4
    assert weights(2, 0, 1.0, torch.device("cpu")).of("seg").tolist() == [0, 0], "no labels at all"


@pytest.mark.parametrize("spec", ["baseline", "pm-kd", "at-kd", "combined[variant=official]"])
@pytest.mark.parametrize(("dims", "out_channels", "labelled"), [(2, 1, 8), (3, 3, 16)])
def test_gradients_of_parts_add_up_to_those_of_the_batch(spec, dims, out_channels, labelled):
    torch.manual_seed(0)
    model = architectures.build("unet-4-8", dims, out_channels=out_channels)
    teacher = architectures.build("unet-8-16", dims, out_channels=out_channels)
    method = methods.build(spec)
    whole, terms = gradients(model, method, 16, dims, out_channels, teacher, labelled)
    assert set(terms) >= {"seg", "loss"}
    for size in (1, 4, 8):
        parts, same = gradients(model, method, size, dims, out_channels, teacher, labelled)
        assert distance(parts, whole) < 1e-5
        assert all(same[name].item() == pytest.approx(terms[name].item(), rel=1e-5) for name in terms)


def test_batch_statistics_are_those_of_a_part():
    torch.manual_seed(0)
    model = architectures.build("dmfnet", 2)
    assert has_batch_statistics(model)
    assert not has_batch_statistics(architectures.build("unet-4", 2))
    whole, _ = gradients(model, methods.build("baseline"), 16, 2)
    parts, _ = gradients(model, methods.build("baseline"), 4, 2)
    assert distance(parts, whole) > 1e-3, "networks with batch statistics are not covered by the promise"
    model.eval()  # with fixed statistics they are
    whole, _ = gradients(model, methods.build("baseline"), 16, 2)
    parts, _ = gradients(model, methods.build("baseline"), 4, 2)
    assert distance(parts, whole) < 1e-5


@pytest.mark.parametrize(("name", "dims"), [("unet-4-8-16", 3), ("dmfnet", 2)])
def test_a_forgetful_network_has_the_same_gradients_and_keeps_less(name, dims):
    torch.manual_seed(0)
    plain = architectures.build(name, dims)
    forgetful = recomputing(copy.deepcopy(plain))
    assert list(forgetful.state_dict()) == list(plain.state_dict())
    kept = []
    for model in (plain, forgetful):
        tensors = {}

        def keep(tensor, tensors=tensors):
            tensors[tensor.data_ptr()] = tensor
            return tensor

        for block in (*model.encoder, *model.decoder):  # what is handed on is kept in any case
            block.register_forward_pre_hook(lambda _, inputs, keep=keep: (keep(inputs[0]),))
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            model(torch.randn(2, 1, *[16] * dims))
        kept.append(sum(tensor.numel() for tensor in tensors.values()))
    assert kept[1] < 0.7 * kept[0]
    forgetful.load_state_dict(plain.state_dict())
    ours, _ = gradients(forgetful, methods.build("baseline"), 16, dims)
    reference, _ = gradients(plain, methods.build("baseline"), 16, dims)
    assert distance(ours, reference) < 1e-6
    # A copy computes with its own weights.
    other = copy.deepcopy(forgetful)
    for parameter in forgetful.parameters():
        parameter.data.zero_()
    assert other(torch.randn(2, 1, *[16] * dims)).abs().max() > 0
