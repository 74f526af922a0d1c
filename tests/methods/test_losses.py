"""Further losses against a computation in NumPy, written from the public codes and sharing none of ours."""

from itertools import combinations

import numpy as np
import pytest
import torch
from samples import a_setting

import methods
from bench.planning.cells import cells
from bench.planning.matrix import parse_matrix
from bench.scoring.evaluation import decide
from bench.training.losses import segmentation_loss
from bench.training.micro_batches import weights
from methods import Outputs
from methods.training.cwd import channel_distance
from methods.training.dist import relation_distance
from methods.training.dkd import decoupled
from methods.training.emkd import layers
from methods.training.pm_kd import prediction_map_distance

SHAPES = [(5, 4), (3, 4, 2)]
each_shape = pytest.mark.parametrize("spatial", SHAPES)
any_classes = pytest.mark.parametrize("channels", [1, 2, 3, 4])


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def probabilities(z):
    """(N, C, ...) logits; one channel z is the pair (0, z)."""
    return softmax(np.concatenate([np.zeros_like(z), z], axis=1) if z.shape[1] == 1 else z)


def logits(channels, spatial, scale=3.0):
    return np.random.default_rng(channels).normal(0, scale, (2, 3, channels, *spatial))


def tensors(*arrays):
    return [torch.tensor(array) for array in arrays]


@each_shape
@any_classes
@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_channels_as_distributions_over_positions(temperature, channels, spatial):
    s, t = logits(channels, spatial)
    p, q = (softmax((z / temperature).reshape(3 * channels, -1)) for z in (t, s))
    expected = temperature**2 / (3 * channels) * (p * np.log(p / q)).sum()
    value = channel_distance(*tensors(s, t), temperature)
    assert value.mean().item() == pytest.approx(expected, rel=1e-9)
    assert torch.allclose(channel_distance(*tensors(s + 5, s)), torch.zeros(3).double(), atol=1e-12), (
        "nothing is said of the threshold"
    )


def test_a_pair_of_channels_counts_half_of_one():
    s, t = tensors(*logits(1, (5, 4)))
    pairs = [torch.cat([torch.zeros_like(z), z], dim=1) for z in (s, t)]
    assert torch.allclose(channel_distance(*pairs), channel_distance(s, t) / 2)


def test_the_numbers_of_the_variants_of_cwd():
    found = {v: methods.build(f"cwd[variant={v}]") for v in ("common", "official", "mmrazor")}
    numbers = {name: (method.temperature, method.weight) for name, method in found.items()}
    assert numbers == {"common": (4, 0.03), "official": (4, 3), "mmrazor": (1, 5)}


def correlations(a, b):
    return np.array([np.corrcoef(x, y)[0, 1] for x, y in zip(a, b, strict=True)])


@each_shape
@any_classes
@pytest.mark.parametrize("variant", ["common", "official"])
def test_relations(variant, channels, spatial):
    s, t = logits(channels, spatial)
    p, q = ((1 / (1 + np.exp(-z)) if channels == 1 else softmax(z)) for z in (s, t))
    pixels = [np.moveaxis(x, 1, -1).reshape(3, -1, channels) for x in (p, q)]
    if variant == "official":
        within = 1 - correlations(*(x.reshape(-1, channels).T for x in pixels)).mean()
    else:
        within = np.mean([1 - correlations(a.T, b.T).mean() for a, b in zip(*pixels, strict=True)])
    between = 1 - correlations(*(x.reshape(-1, channels) for x in pixels)).mean() if channels > 2 else 0
    value = relation_distance(*tensors(s, t), variant)
    assert value.mean().item() == pytest.approx(within + between, rel=1e-5)
    if variant == "official":
        return
    alone = torch.cat([relation_distance(*tensors(s[k : k + 1], t[k : k + 1])) for k in range(3)])
    assert torch.allclose(value, alone)


def test_a_teacher_whose_map_is_constant_relates_nothing_to_nothing():
    s, t = torch.randn(2, 1, 4, 4), torch.full((2, 1, 4, 4), -9.0)
    assert (relation_distance(s, t) == 0).all()
    assert torch.allclose(relation_distance(s, t, "official"), torch.ones(2)), "as in the public code"


@each_shape
@pytest.mark.parametrize("channels", [2, 3, 4])
def test_the_true_class_and_the_others(channels, spatial):
    s, t = logits(channels, spatial)
    y = np.random.default_rng(1).integers(0, channels, (3, *spatial))
    p, q = (np.moveaxis(softmax(z / 4), 1, -1).reshape(-1, channels) for z in (t, s))
    rows, true = np.arange(len(p)), y.reshape(-1)
    target, others = 0.0, 0.0
    for row in rows:
        k, a, b = true[row], p[row], q[row]
        target += a[k] * np.log(a[k] / b[k]) + (1 - a[k]) * np.log((1 - a[k]) / (1 - b[k]))
        a, b = (np.delete(x, k) / (1 - x[k]) for x in (a, b))
        others += (a * np.log(a / b)).sum()
    found = decoupled(*tensors(s, t, y))
    for value, expected in zip(found, (target, others), strict=True):
        assert value.mean().item() == pytest.approx(16 * expected / len(rows), rel=1e-9, abs=1e-12)


@any_classes
def test_the_two_parts_make_up_kd_and_for_one_class_the_first_is_all_of_it(channels):
    s, t = tensors(*logits(channels, (5, 4)))
    y = torch.tensor(np.random.default_rng(1).integers(0, max(2, channels), (3, 5, 4)))
    target, others = decoupled(s, t, y)
    kd = prediction_map_distance(s, t)
    assert (others > 0).all() if channels > 2 else (others == 0).all()
    assert torch.allclose(target, kd) == (channels <= 2)


def planned(method, out_channels=1, **more):
    content = {"teacher": "unet-4-8-16", "students": ["unet-2-4"], "methods": [method]}
    job = {key: more.pop(key) for key in ("micro_batch",) if key in more}
    setting = a_setting(out_channels=out_channels, **job)
    (cell,) = [c for c in cells(parse_matrix(content | more, "m"), setting) if c.job.teachers]
    return cell.reason


UNLABELLED = {"labels": 8, "unlabelled": "maps"}


@pytest.mark.parametrize(
    ("method", "more", "reason"),
    [
        ("dkd", {}, "dkd: with one class beside the background it is pm-kd itself"),
        ("dkd", {"out_channels": 3}, ""),
        ("dkd", {"out_channels": 3, **UNLABELLED}, "dkd: it needs the class of every pixel"),
        ("dist", {"micro_batch": 4}, ""),
        ("dist[variant=official]", {}, ""),
        ("dist[variant=official]", {"micro_batch": 4}, "dist: variant official correlates whole batches"),
        ("pseudo-label", {}, "pseudo-label: it needs images without labels (unlabelled: maps)"),
        ("pseudo-label", UNLABELLED, ""),
    ],
)
def test_what_a_method_is_not_for_is_skipped_with_the_reason(method, more, reason):
    found = planned(method, **more)
    assert found.startswith(reason) and bool(found) == bool(reason)


@pytest.mark.parametrize(
    ("strides", "chosen"),
    [((1, 2, 4, 8, 16), (2, 8)), ((2, 4, 8), (2, 8)), ((1, 2, 4), (2, 4)), ((1, 2), (1, 2)), ((4,), (4,))],
)
def test_the_two_layers_of_emkd(strides, chosen):
    taps = [(side, stride) for side in ("encoder", "decoder") for stride in strides]
    assert layers(taps) == [("encoder", stride) for stride in chosen]
    with pytest.raises(ValueError, match="no encoder's tap of stride 8 or less"):
        layers([("decoder", 2), ("encoder", 16)])


def region_means(feature, labels, classes):
    """(C, *spatial) of one sample: the mean feature of each class that is there."""
    step = [a // b for a, b in zip(labels.shape, feature.shape[1:], strict=True)]
    small = labels[tuple(slice(None, None, k) for k in step)]
    return {c: feature[:, small == c].mean(axis=1) for c in range(classes) if (small == c).any()}


def expected_emkd(student, teacher, y, classes):
    s, t = (probabilities(o["logits"] / 4) for o in (student, teacher))
    parts = {"pm": 0.1 * 16 * (t * np.log(t / s)).sum() / (t.size / 2), "im": 0.0, "ra": 0.0}
    for stride in (2, 8):
        maps = []
        for o in (student, teacher):
            flat = (o[stride] ** 4).mean(axis=1).reshape(len(y), -1)
            maps.append(flat / np.linalg.norm(flat, axis=1, keepdims=True))
        parts["im"] += 0.9 * ((maps[0] - maps[1]) ** 2).sum(axis=1).mean()
        for k in range(len(y)):
            both = [region_means(o[stride][k], y[k], classes) for o in (student, teacher)]
            cosines = [
                [a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a, b in combinations(m.values(), 2)]
                for m in both
            ]
            if cosines[0]:
                parts["ra"] += 0.9 * np.mean(np.subtract(*cosines) ** 2) / len(y)
    return parts


@pytest.mark.parametrize("sides", [(16, 8), (8, 8, 16)])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_prediction_importance_and_region(channels, sides):
    rng = np.random.default_rng(channels)
    classes = max(2, channels)
    y = rng.integers(0, classes, (3, *sides)).astype(np.uint8)
    y[0] = 0  # one region alone: no contrast
    y[1][y[1] == classes - 1] = 0  # one class is missing

    def network(widths):
        taps = {k: rng.normal(0.3, 1, (3, w, *[side // k for side in sides])) for k, w in widths.items()}
        return {"logits": rng.normal(0, 3, (3, channels, *sides)), **taps}

    def outputs(o):
        taps = {("encoder", k): torch.tensor(o[k]).float() for k in (1, 2, 4, 8)}
        return Outputs(torch.tensor(o["logits"]).float(), taps)

    student, teacher = network({1: 2, 2: 3, 4: 5, 8: 4}), network({1: 4, 2: 6, 4: 8, 8: 9})
    method, labels = methods.build("emkd[weight=1]"), torch.tensor(y)
    terms = method.loss(outputs(student), method.targets(outputs(teacher), labels), labels)
    expected = expected_emkd(student, teacher, y, classes)
    assert {name: term.mean().item() for name, term in terms.items()} == pytest.approx(expected, rel=1e-4)
    assert terms["ra"][0] == 0


def test_pseudo_labels_are_the_decisions_that_would_be_scored_and_count_where_there_are_none():
    generator = torch.Generator().manual_seed(0)
    method = methods.build("pseudo-label[unlabelled_weight=3]")
    for channels in (1, 4):
        z = torch.randn(16, channels, 6, 5, generator=generator)
        decided = method.decisions(method.targets(Outputs(z, {}), torch.zeros(16, 6, 5)))
        assert np.array_equal(decided.numpy(), decide(z, (6, 5)))
        values = segmentation_loss(z.flip(0), decided)
        counts = weights(16, 8, method.unlabelled_weight, z.device).of("pseudo")
        assert (values * counts).sum().item() == pytest.approx(3 * values[8:].sum().item() / 16, rel=1e-6)
