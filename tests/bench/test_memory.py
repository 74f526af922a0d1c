"""Training in less memory gives the same gradients, and what fits is chosen once."""

import copy
import json

import pytest
import torch

import architectures
import methods
from bench import probe
from bench.memory import accumulate, checkpointed, has_batch_statistics
from bench.store import Study
from bench.training import forward, segmentation_loss


def gradients(model, method, size, dims, out_channels=1, teacher=None):
    """Gradients of a random batch of 16, ``size`` samples at a time, and the loss terms."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(16, 1, *[16] * dims, generator=generator)
    y = (torch.rand(16, *[16] * dims, generator=generator) * (out_channels + (out_channels == 1))).byte()
    targets = {}
    if teacher is not None:
        with torch.no_grad():
            targets = method.targets(methods.Outputs(*teacher.forward_intermediates(x)), y)

    def losses(x, y, kept):
        outputs = forward(model, method, x)
        return {"seg": segmentation_loss(outputs.logits, y)} | method.loss(outputs, kept, y)

    model.zero_grad()
    terms = accumulate(losses, x, y, targets, size)
    return [p.grad.clone() for p in model.parameters()], terms


def distance(ours, reference):
    """The largest difference, in parts of the largest gradient."""
    largest = max(g.abs().max() for g in reference)
    return float(max((a - b).abs().max() for a, b in zip(ours, reference, strict=True)) / largest)


@pytest.mark.parametrize("spec", ["baseline", "pm-kd", "at-kd", "combined[variant=official]"])
@pytest.mark.parametrize(("dims", "out_channels"), [(2, 1), (3, 3)])
def test_gradients_of_parts_add_up_to_those_of_the_batch(spec, dims, out_channels):
    torch.manual_seed(0)
    model = architectures.build("unet-4-8", dims, out_channels=out_channels)
    teacher = architectures.build("unet-8-16", dims, out_channels=out_channels)
    method = methods.build(spec)
    whole, terms = gradients(model, method, 16, dims, out_channels, teacher)
    assert set(terms) >= {"seg", "loss"}
    for size in (1, 4, 8):
        parts, same = gradients(model, method, size, dims, out_channels, teacher)
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
    forgetful = checkpointed(copy.deepcopy(plain))
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


@pytest.fixture
def jobs_only(monkeypatch):
    """Runs end with their last job: nothing is profiled or reported."""
    monkeypatch.setattr("bench.run.profile", lambda *_: None)
    monkeypatch.setattr("bench.run.write_report", lambda *_: None)


@pytest.fixture
def asked(tmp_path, tiny_matrix):
    return ("--matrix", tiny_matrix, "--results", tmp_path / "study", "--only", "unet-2-4:baseline")


def needs(megabytes_a_sample, base=300.0):
    """Stands in for measuring: memory grows with the samples, and the teacher takes more of it."""
    return lambda root, wishes, job: base + job.micro_batch * megabytes_a_sample * len(job.architecture)


def test_what_fits_is_chosen_once_and_kept(asked, tmp_path, bench, refused, monkeypatch, jobs_only):
    monkeypatch.setattr(probe, "measure", needs(20))  # 8 letters: 460 MB, 620, 940, then 1580: not tried
    result = bench(*asked, "--memory-gb", 1, "--no-test")
    assert result.code == 0, result.err
    assert "4 of 16 samples at a time in this study" in result.out
    settings = json.loads((tmp_path / "study" / "study.json").read_text())
    assert settings["micro_batch"] == 4
    assert settings["memory_gb"] == 1
    assert settings["memory_probe_mb"] == {"1": 460, "2": 620, "4": 940}
    [record] = Study(tmp_path / "study").records()
    assert record["status"] == "done"
    assert record["job"]["micro_batch"] == 4
    assert record["cost"]["peak_memory_train_mb"] > 0
    monkeypatch.setattr(probe, "measure", lambda *_: pytest.fail("measured again"))
    assert "1 done, 0 to run" in bench(*asked, "--memory-gb", 1, "--no-test").out
    assert "1 done, 0 to run" in bench(*asked, "--no-test").out
    assert "begun with memory_gb 1.0, now it is 2.0" in refused(*asked, "--memory-gb", 2)
    assert "begun with micro_batch 4, now it is 8" in refused(*asked, "--micro-batch", 8)
    assert "begun with checkpointing None" in refused(*asked, "--checkpointing")


def test_what_can_not_fit_is_one_line_and_leaves_nothing(asked, tmp_path, refused, monkeypatch):
    monkeypatch.setattr(probe, "measure", needs(20))
    line = refused(*asked, "--memory-gb", 0.4)
    assert "unet-2-4 needs 0.46 GB for one sample at a time; try --checkpointing" in line
    assert not (tmp_path / "study").exists()


def test_the_heaviest_method_of_each_network_is_measured(tmp_path, tiny_matrix, bench, monkeypatch):
    seen = []

    def measured(root, wishes, job):
        seen.append((job.architecture, job.method, job.teachers))
        return 9e9 if job.micro_batch > 1 else 1.0

    monkeypatch.setattr(probe, "measure", measured)
    monkeypatch.setattr("bench.run.local.run", lambda *_: 0)
    monkeypatch.setattr("bench.run.profile", lambda *_: None)
    monkeypatch.setattr("bench.run.write_report", lambda *_: None)
    bench("--matrix", tiny_matrix, "--results", tmp_path / "s", "--memory-gb", 1)
    assert seen[:2] == [("unet-4-8-16", "baseline", ()), ("unet-2-4", "at-kd", ("unet-4-8-16",))]


def test_a_probe_is_a_real_step(asked, tmp_path, bench, monkeypatch):
    """What is measured runs, here in this process: gate, teacher, update, validation."""
    steps = []

    def measured(root, wishes, job):
        probe.first_steps(probe.open_session(root, wishes), job)
        steps.append(job.micro_batch)
        return 100.0 * job.micro_batch

    monkeypatch.setattr(probe, "measure", measured)
    monkeypatch.setattr("bench.run.local.run", lambda *_: 0)
    monkeypatch.setattr("bench.run.profile", lambda *_: None)
    monkeypatch.setattr("bench.run.write_report", lambda *_: None)
    bench(*asked[:4], "--only", "unet-2-4:combined", "--memory-gb", 0.5, "--checkpointing")
    assert steps == [1, 1, 2, 2, 4, 4]
    settings = json.loads((tmp_path / "study" / "study.json").read_text())
    assert (settings["micro_batch"], settings["checkpointing"]) == (4, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--micro-batch", "3"], "--micro-batch 3: must divide the batch of 16"),
        (["--micro-batch", "0"], "--micro-batch 0: must divide"),
        (["--micro-batch", "4", "--memory-gb", "2"], "give one"),
        (["--memory-gb", "-1"], "--memory-gb -1: must be positive"),
    ],
)
def test_bad_options_are_one_line(asked, refused, arguments, message, tmp_path):
    assert message in refused(*asked, *arguments)
    assert not (tmp_path / "study").exists()


def test_a_micro_batch_is_in_the_record_and_the_table(asked, tmp_path, bench, jobs_only):
    assert bench(*asked, "--micro-batch", 8, "--no-test").code == 0
    from bench.report import frames

    frame = frames.summary(Study(tmp_path / "study"))
    assert frame.micro_batch.tolist() == [8]
