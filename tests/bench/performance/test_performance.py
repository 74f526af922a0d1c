"""The whole command on tiny networks: what it writes and how its ratios follow from its seconds."""

import json
import statistics
from dataclasses import replace

import pytest
import torch
from torch import nn

import methods
from bench.errors import UserError
from bench.performance import command
from bench.performance.plain_loop import plain_loop
from bench.performance.slices import AugmentedSlices, loader
from bench.planning.options import Options
from bench.planning.session import open_session
from bench.protocol import MIN_BATCHES

pytestmark = pytest.mark.slow


@pytest.fixture
def root(measured):
    return measured[0]


@pytest.fixture
def found(root):
    return json.loads((root / "performance.json").read_text())


def test_it_leaves_figures_page_plot_and_profiles(root, found):
    page = (root / "performance.md").read_text()
    assert "phantom (synthetic) at 16²" in page
    assert "combined" in page
    for suffix in ("png", "pdf"):
        assert (root / f"scaling.{suffix}").stat().st_size > 5000
    precisions = {row["precision"] for row in found["machine"]}
    assert "fp32" in precisions
    for precision in precisions:
        assert "conv" in (root / f"profile-{precision}.txt").read_text()
    text = (root / "performance.json").read_text()
    assert '"/' not in text
    assert str(root) not in text


def test_every_ratio_follows_from_the_seconds(found):
    seconds = {(r["what"], r["network"], r["precision"]): r["seconds"] for r in found["seconds_per_step"]}
    assert found["distilled_jobs"] == 3
    for row in found["epochs"]:
        plain = seconds["plain loop", row["network"], row["plain_precision"]]
        job = seconds["combined", row["network"], row["precision"]]
        recording = seconds["recording", "unet-4-8-16", row["precision"]]
        ours = [j + r / 3 for j, r in zip(job, recording, strict=True)]
        ratio = statistics.median(p / o for p, o in zip(plain, ours, strict=True))
        assert row["times_faster"] == pytest.approx(ratio)
        assert row["seconds"] == pytest.approx(MIN_BATCHES * statistics.median(ours))
    for row in found["distilled_over_baseline"]:
        own = (seconds[kind, row["network"], row["precision"]] for kind in ("combined", "baseline"))
        ratio = statistics.median(c / b for c, b in zip(*own, strict=True))
        assert row["ratio"] == pytest.approx(ratio)
    # unet-4-8-16 on 16²: convolutions, transposed convolutions and head, counted by hand.
    encoder = 256 * 9 * (4 + 16) + 64 * 9 * (32 + 64) + 16 * 9 * (128 + 256)
    decoder = 64 * (16 * 8 + 9 * (128 + 64)) + 256 * (8 * 4 + 9 * (32 + 16) + 4)
    for row in found["machine"]:
        step = seconds["teacher", "unet-4-8-16", row["precision"]]
        flops = [6 * 16 * (encoder + decoder) / s / 1e9 for s in step]
        assert row["gflops"] == pytest.approx(statistics.median(flops))
        ways = [seconds["product", way, row["precision"]] for way in ("matmul", "1x1 convolution")]
        product = [2 * 64**3 / min(s) / 1e9 for s in zip(*ways, strict=True)]
        assert row["ratio"] == pytest.approx(
            statistics.median(a / b for a, b in zip(flops, product, strict=True))
        )


def test_growth_and_inference_are_there(found):
    growth = found["growth"]
    assert [row["side"] for row in growth["side"]] == [16, 32]
    assert growth["side"][1]["gmacs"] == pytest.approx(4 * growth["side"][0]["gmacs"])
    assert [row["slices"] for row in growth["slices"]] == [32, 64]
    assert [row["jobs"] for row in growth["jobs"]] == [1, 2]
    assert {row["network"] for row in found["inference"]} == {"unet-4-8-16", "unet-2-4"}
    assert all(row["frames_per_second"] > 0 for row in found["inference"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--image-size", 18], "--image-size 18: unet-4-8-16 needs a multiple of 4"),
        (["--dataset", "moon"], "--dataset 'moon' is unknown"),
        (["--dataset", "liver-ct"], "--data must name its folder"),
        (["--precision", "int8"], "--precision must be one of"),
    ],
)
def test_bad_options_are_one_line(refused, tmp_path, arguments, message):
    assert message in refused("performance", "--quick", "--results", tmp_path / "p", *arguments)
    assert not (tmp_path / "p").exists()


def test_what_is_odd_about_the_data_is_said_first(tmp_path, monkeypatch, told, capsys):
    def odd(*asked):
        session = open_session(*asked)
        return replace(session, settings=session.settings | {"warnings": ["an odd file"]})

    def enough(*_):
        raise UserError("enough")

    monkeypatch.setattr(command, "open_session", odd)
    monkeypatch.setattr(command, "parse_matrix", enough)
    with pytest.raises(UserError, match="enough"):
        command.measure(Options(dataset="phantom", device="cpu"), tmp_path / "p", quick=True)
    assert capsys.readouterr().err == "an odd file\n"


class Recorder(nn.Module):
    """Remembers whether gradients were on when it was asked."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 3, padding=1)
        self.asked = []

    def forward_intermediates(self, x):
        self.asked.append(torch.is_grad_enabled())
        feature = self.conv(x)
        return feature, {("encoder", 1): feature}


def test_the_reference_asks_the_teacher_in_every_step_and_learns(small_phantom):
    torch.manual_seed(0)
    student, teacher = Recorder(), Recorder()
    before = [p.clone() for p in teacher.parameters()]
    cpu = torch.device("cpu")
    batches = loader(small_phantom.train_images, small_phantom.train_labels, cpu)
    loop = plain_loop(student, teacher, methods.build("combined"), batches, cpu)
    losses = [next(loop) for _ in range(40)]
    assert teacher.asked == [False] * 40
    assert student.asked == [True] * 40
    assert all(torch.equal(a, b) for a, b in zip(before, teacher.parameters(), strict=True))
    assert statistics.mean(losses[-4:]) < statistics.mean(losses[:4])


def test_the_reference_moves_labels_with_images():
    images = torch.zeros(1, 1, 12, 12)
    images[..., :5, :7] = 1.0  # in a corner: flips move it far
    labels = images[:, 0].to(torch.uint8)
    dataset = AugmentedSlices(images, labels)
    for _ in range(50):
        image, label = dataset[0]
        assert image.shape == (1, 12, 12)
        agreement = ((image[0] > 0.5) == (label > 0)).float().mean()
        assert agreement > 0.85, "apart only by a pixel at the edges of a resized crop"


@pytest.fixture(scope="module")
def ways(tmp_path_factory):
    from bench.performance.command import compare_ways

    folder = tmp_path_factory.mktemp("ways")
    compare_ways(Options(dataset="phantom", device="cpu"), folder, quick=True)
    return json.loads((folder / "ways.json").read_text()), (folder / "ways.md").read_text()


def test_every_way_is_compared_with_the_best(ways):
    found, page = ways
    assert {row["network"] for row in found["ways"]} == {"unet-2-4", "unet-4-8-16"}
    for row in found["ways"]:
        jobs = {name: 500 * own["step"] + own["first"] for name, own in row["ways"].items()}
        assert row["best"] == min(jobs, key=jobs.get)
        assert row["job_over_best"] == pytest.approx(jobs[row["chosen"]] / min(jobs.values()))
        assert f"| {row['network']} " in page


def test_a_layer_takes_no_less_than_its_arithmetic_and_its_bytes(ways):
    layers = ways[0]["layers"]
    by_name = {row["layer"]: row for row in layers["layers"]}
    # encoder.1.0 of unet-2-4: 3x3 from 2 to 4 channels on 8x8; up.0: 2x2 from 4 to 2, from 8x8; 16 images.
    assert by_name["encoder.1.0"]["gflops"] == pytest.approx(6e-9 * 16 * 64 * 9 * 2 * 4)
    assert by_name["up.0"]["gflops"] == pytest.approx(6e-9 * 16 * 64 * 4 * 4 * 2)
    norm = by_name["encoder.0.1"]
    assert (norm["gflops"], norm["shape"]) == (0, [2, 16, 16])
    if layers["precision"] == "fp32":
        assert norm["mb"] == pytest.approx(5 * 4 * 16 * 2 * 256 / 1e6)
        assert norm["bound_ms"] == pytest.approx(norm["mb"] / layers["copy_gb_per_second"])
