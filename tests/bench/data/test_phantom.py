import numpy as np

from bench.data import phantom
from bench.data.prepared_images import PreparedImages
from bench.data.splits import split_by_patient


def test_the_same_seed_gives_the_same_slices_and_another_does_not():
    render = phantom.render.__wrapped__  # not what conftest.py keeps of it
    first, again = render(3, 2, 64, seed=0), render(3, 2, 64, seed=0)
    assert all(
        np.array_equal(a, b) for x, y in zip(first, again, strict=True) for a, b in zip(x, y, strict=True)
    )
    assert not np.array_equal(first[0][0], phantom.render(3, 2, 64, seed=1)[0][0])
    assert not np.array_equal(first[0][0], phantom.render(4, 2, 64, seed=0)[0][0])


def test_it_is_a_ct_in_hounsfield_units():
    image, mask = phantom.render(0, 2, 128, seed=0)[0]
    assert image.shape == (1, 128, 128)
    corner = image[0, :8, :8]
    assert abs(corner.mean() + 1000) < 15, "air outside"
    assert image.max() > 300, "bone"
    liver = image[0][mask > 0]
    assert 30 < liver.mean() < 130
    assert 5 < liver.std() < 45, "noise"


def test_brightness_alone_does_not_find_the_liver():
    """The best threshold band on the true liver's own intensity still makes a poor mask."""
    dataset = phantom.generate(patients=6)
    scores = []
    for image, mask in zip(dataset.images, dataset.masks, strict=True):
        if mask.sum() < 300:
            continue
        low, high = np.quantile(image[0][mask > 0], (0.05, 0.95))
        band = (image[0] >= low) & (image[0] <= high)
        scores.append(2 * (band & (mask > 0)).sum() / (band.sum() + mask.sum()))
    assert np.mean(scores) < 0.75


def test_patients_differ_and_the_default_has_64_training_slices():
    dataset = phantom.generate()
    assert dataset.synthetic
    assert len(split_by_patient(dataset).train) == 64
    sizes = np.array([mask.sum() for mask in dataset.masks]).reshape(phantom.PATIENTS, -1).mean(axis=1)
    assert sizes.std() / sizes.mean() > 0.1


def test_normalisation_is_of_the_training_images_alone(small_phantom):
    train = small_phantom.train_images
    assert abs(train.mean().item()) < 1e-4
    assert abs(train.std().item() - 1) < 1e-3
    dataset = small_phantom.dataset
    changed = [image.copy() for image in dataset.images]
    for k in small_phantom.split.indices(dataset, "test"):
        changed[k][:] = 200
    other = PreparedImages(type(dataset)(**{**vars(dataset), "images": changed}), small_phantom.split, 16)
    assert other.normalisation == small_phantom.normalisation


def test_slices_without_liver_come_beside_the_same_ones_with_it():
    plain = phantom.generate(patients=3, side=32)
    more = phantom.generate(patients=3, side=32, empty=2)
    assert (plain.name, more.name) == ("phantom", "phantom-empty")
    assert more.fingerprint != plain.fingerprint
    empty = [not mask.any() for mask in more.masks]
    assert empty == [False] * 4 + [True] * 2 + [False] * 4 + [True] * 2 + [False] * 4 + [True] * 2
    with_liver = [image for image, bare in zip(more.images, empty, strict=True) if not bare]
    assert all(np.array_equal(a, b) for a, b in zip(with_liver, plain.images, strict=True))
    assert all(image.max() > 100 for image in more.images), "a body is there"


def test_the_phantom_of_committed_studies_is_what_it_was():
    assert phantom.generate().fingerprint == "e4fb65edb717c07a"
