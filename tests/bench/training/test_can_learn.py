"""The gate lets every registered network through and stops the ones that can't learn."""

import copy

import pytest
import torch
from torch import nn

import architectures
from bench.data import phantom
from bench.data.prepared_images import PreparedImages
from bench.data.splits import split_by_patient
from bench.data.stream import SampleStream
from bench.study.store import Study
from bench.training.can_learn import CannotLearn, check_can_learn

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def stream():
    dataset = phantom.generate(side=32)
    return SampleStream(PreparedImages(dataset, split_by_patient(dataset), 32), 0)


class Ends(nn.Module):
    """A network with something after its logits."""

    def __init__(self, end, name="unet-4-8"):
        super().__init__()
        self.inner, self.end = architectures.build(name), end

    def forward(self, x):
        return self.end(self.inner(x))


class Dead(nn.Module):
    """A network of which a part is not used."""

    def __init__(self):
        super().__init__()
        self.inner, self.unused = architectures.build("unet-4-8"), nn.Conv2d(1, 4, 3)

    def forward(self, x):
        return self.inner(x) + 0 * self.unused(x).sum()


class Frozen(nn.Module):
    """A network whose loss does not fall: its output is the sign."""

    def __init__(self):
        super().__init__()
        self.inner = architectures.build("unet-4-8")

    def forward(self, x):
        z = self.inner(x)
        return z.sign() * 2 + 1e-12 * z


@pytest.mark.parametrize("name", architectures.names())
def test_every_registered_network_passes(name, stream):
    torch.manual_seed(0)
    check_can_learn(architectures.build(name), stream, 1, "dice-bce", CPU)


@pytest.mark.parametrize("name", ["unet-2-4", "unet-2", "unet-4-8-16"])
@pytest.mark.parametrize("seg_loss", ["dice-bce", "bce"])
def test_tiny_networks_pass(name, seg_loss, stream):
    for seed in range(3):
        torch.manual_seed(seed)
        check_can_learn(architectures.build(name), stream, 1, seg_loss, CPU)


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (lambda: Ends(nn.Softmax(dim=1)), "no weight has a gradient"),
        (lambda: Ends(nn.Sigmoid()), "an activation inside"),
        (lambda: Ends(nn.Tanh()), "an activation inside"),
        (lambda: Ends(lambda z: z[:, :, ::2]), "not logits of shape"),
        (lambda: Ends(lambda z: (z, z)), "tuple, not logits"),
        (lambda: Ends(lambda z: z.detach().requires_grad_()), "no weight has a gradient"),
        (lambda: Ends(lambda z: z * float("nan")), "the loss is nan"),
        (Dead, r"1 of \d+ weights have no gradient in 10 updates, first unused"),
        (Frozen, "leave the loss at"),
    ],
)
@pytest.mark.parametrize("seg_loss", ["dice-bce", "bce"])
def test_broken_networks_are_stopped_with_the_reason(model, reason, seg_loss, stream):
    torch.manual_seed(0)
    with pytest.raises(CannotLearn, match=reason):
        check_can_learn(model(), stream, 1, seg_loss, CPU)


def test_a_broken_dmfnet_is_stopped(stream):
    for end, reason in ((nn.Softmax(dim=1), "no weight has a gradient"), (nn.Sigmoid(), "an activation")):
        torch.manual_seed(0)
        with pytest.raises(CannotLearn, match=reason):
            check_can_learn(Ends(end, "dmfnet"), stream, 1, "dice-bce", CPU)


def test_weights_statistics_and_random_state_stay_untouched(stream):
    torch.manual_seed(0)
    model = architectures.build("dmfnet")
    before, state = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    check_can_learn(model, stream, 1, "dice-bce", CPU)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert all(p.grad is None for p in model.parameters())


def test_a_job_that_cannot_learn_says_so_and_blocks_its_students(tmp_path, bench, monkeypatch):
    """As a user meets it: a family of one's own with a softmax over its single channel."""
    plugin = tmp_path / "broken.py"
    plugin.write_text(
        "from torch import nn\n"
        "import architectures\n"
        "from architectures import unet\n"
        "NAMES = ('broken',)\n"
        "def understands(name): return name == 'broken'\n"
        "def stride(name): return 4\n"
        "class Broken(unet.UNet):\n"
        "    def forward_intermediates(self, x):\n"
        "        logits, taps = super().forward_intermediates(x)\n"
        "        return nn.functional.softmax(logits, dim=1), taps\n"
        "def build(name, *sizes): return Broken((2, 4, 8), *sizes)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import broken

    from bench import commands as run
    from bench.running.failures import fail

    monkeypatch.setattr(architectures, "FAMILIES", (*architectures.FAMILIES, broken))
    matrix = tmp_path / "m.yaml"
    matrix.write_text("teacher: broken\nstudents: [unet-2-4]\nmethods: [pm-kd]\nimage_size: 16\n")

    def in_this_process(study, jobs, start, options):
        for job in jobs:
            reason = study.blocked(job)
            if reason:
                fail(study, job, "blocked", reason)
            else:
                assert start(study.root, job.id, options) == 1
        return len(jobs)

    monkeypatch.setattr(run.local, "run", in_this_process)
    monkeypatch.setattr(run, "profile", lambda *_: None)
    result = bench("--matrix", matrix, "--results", tmp_path / "study")
    assert result.code == 1
    study = Study(tmp_path / "study")
    records = [study.record(job.id) for job in study.jobs()]
    assert sorted(r["status"] for r in records) == ["blocked", "cannot-learn"]
    record = next(r for r in records if r["status"] == "cannot-learn")
    assert "no weight has a gradient" in record["reason"]
    assert "curves" not in record
