"""Small synthetic volumes in files, for tests: two balls of two classes in noise."""

import itertools
import json

import nibabel as nib
import numpy as np

LABELS = {"0": "background", "1": "Front", "2": "Back"}


def ball_volume(seed, shape=(14, 20, 12)):
    """An image with two bright balls, and their labels."""
    rng = np.random.default_rng(seed)
    grid = np.indices(shape).transpose(1, 2, 3, 0)
    label = np.zeros(shape, np.uint8)
    for value, along in ((1, 0.3), (2, 0.7)):
        centre = np.array(shape) * (0.5, along, 0.5) + rng.uniform(-1, 1, 3)
        label[np.linalg.norm(grid - centre, axis=-1) < 3.5] = value
    image = 100 * label + rng.normal(50, 20, shape)
    return image.astype(np.float32), label


def save(path, data, affine=None, placed=True):
    """Write a NIfTI file; not ``placed``: without any affine, as nibabel does it."""
    image = nib.Nifti1Image(data, (np.eye(4) if affine is None else affine) if placed else None)
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(image, path)


def case(k):
    return f"person{k // 2:02}_{'ab'[k % 2]}"


def write_decathlon(root, count=12, shape=(14, 20, 12), affine=None):
    """A folder in the Decathlon's layout, two volumes a person."""
    training = []
    for k in range(count):
        image, label = ball_volume(k, shape)
        save(root / "imagesTr" / f"{case(k)}.nii.gz", image, affine)
        save(root / "labelsTr" / f"{case(k)}.nii.gz", label, affine)
        names = {"image": f"./imagesTr/{case(k)}.nii.gz", "label": f"./labelsTr/{case(k)}.nii.gz"}
        training.append(names)
    content = {"modality": {"0": "MRI"}, "labels": LABELS, "training": training, "licence": "none"}
    (root / "dataset.json").write_text(json.dumps(content))
    return root


def write_nnunet(root, count=6, shape=(14, 20, 12), ending=".nii.gz"):
    """The same volumes in nnU-Net's layout."""
    for k in range(count):
        image, label = ball_volume(k, shape)
        save(root / "imagesTr" / f"{case(k)}_0000{ending}", image)
        save(root / "labelsTr" / f"{case(k)}{ending}", label)
    content = {
        "channel_names": {"0": "MRI"}, "labels": {name: int(value) for value, name in LABELS.items()},
        "numTraining": count, "file_ending": ending,
    }  # fmt: skip
    (root / "dataset.json").write_text(json.dumps(content))
    return root


SPACING = (1.0, 1.3, 2.1)
AXCODES = [
    "".join(pair[flip] for pair, flip in zip(order, flips, strict=True))
    for order in itertools.permutations(("RL", "AP", "SI"))
    for flips in itertools.product((0, 1), repeat=3)
]


def rotated(angle):
    """An affine that turns by ``angle`` degrees in the axial plane."""
    turn = np.deg2rad(angle)
    affine = np.eye(4)
    affine[:2, :2] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    return affine


def scanned(angle: float = 0.0) -> nib.Nifti1Image:
    """A volume in canonical order, turned by ``angle`` degrees in the axial plane, somewhere in space."""
    affine = rotated(angle)
    affine[:3, :3] *= SPACING
    affine[:3, 3] = (-31, 17, 240)
    image = nib.Nifti1Image(ball_volume(1, (16, 15, 14))[0].astype(np.int16), affine)
    image.set_qform(affine, 1)
    image.set_sform(affine, 2)
    return image
