"""Single NIfTI files: where their voxels lie and what they hold, or why that can't be known."""

import gzip
import itertools
import struct

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nibabel.orientations import axcodes2ornt, inv_ornt_aff, ornt_transform
from volume_files import LABELS, ball_volume, save

from bench.data import nifti
from bench.data.class_labels import named_labels
from bench.errors import UserError

HEART = np.diag([1.3158, 1.3158, 10, 1])
"""Voxels of a known cardiac set, whose other affine says 1 mm."""
PIXDIM_3, SCL_SLOPE = 88, 112
"""Where a NIfTI-1 header has its size along the third axis and its slope, in bytes."""


def write(path, data, sform=None, qform=None, pixdim=None, units="mm"):
    """A file with each affine as it is given."""
    image = nib.Nifti1Image(data, None)
    header = image.header
    header.set_xyzt_units(units)
    header.set_sform(sform, 1 if sform is not None else 0)
    if qform is not None:
        header.set_qform(qform, 1)
    elif pixdim is not None:
        header["pixdim"][1:4] = pixdim
    elif sform is not None:
        header["pixdim"][1:4] = np.linalg.norm(sform[:3, :3], axis=0)
    image = nib.Nifti1Image(data, None, header)
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(image, path)
    return path


def spacing(path, **more):
    return nifti.canonical_spacing(nifti.open_image(path, **more))


DATA = ball_volume(0)[0]


@pytest.mark.parametrize(
    "second", [{"qform": HEART}, {"pixdim": (1.3158, 1.3158, 10)}], ids=["qform", "pixdim"]
)
def test_two_affines_that_differ_are_refused_and_the_option_chooses(tmp_path, second):
    path = write(tmp_path / "a.nii.gz", DATA, np.eye(4), **second)
    (name,) = second
    with pytest.raises(UserError) as error:
        nifti.open_image(path)
    assert str(error.value) == (
        f"{path}: its sform means voxels of 1x1x1 mm, oriented RAS, its {name} of 1.3158x1.3158x10 mm, "
        "RAS; say which is right by --affine sform or --affine qform, or correct the header"
    )
    assert spacing(path, preferred="sform") == (1, 1, 1)
    assert spacing(path, preferred="qform") == pytest.approx((1.3158, 1.3158, 10), abs=1e-5)


def test_two_affines_that_order_the_axes_otherwise_are_refused_too(tmp_path):
    flipped = np.diag([-1.0, 1, 1, 1])
    path = write(tmp_path / "a.nii.gz", DATA, np.eye(4), flipped)
    with pytest.raises(UserError, match="oriented RAS, its qform of 1x1x1 mm, LAS"):
        nifti.open_image(path)
    arrays = [nifti.canonical_array(nifti.open_image(path, preferred=p)) for p in ("sform", "qform")]
    assert np.array_equal(arrays[0], DATA)
    assert np.array_equal(arrays[1], DATA[::-1])


@pytest.mark.parametrize("preferred", ["", "sform", "qform"])
def test_where_one_affine_is_there_or_both_agree_the_option_changes_nothing(tmp_path, preferred):
    turn = np.array([[0, -1.5, 0, 3], [2, 0, 0, -4], [0, 0, 2.5, 9], [0, 0, 0, 1]])
    for number, kinds in enumerate(({"sform": turn}, {"qform": turn}, {"sform": turn, "qform": turn})):
        path = write(tmp_path / f"{number}.nii", DATA, **kinds)
        opened = nifti.open_image(path, preferred=preferred)
        assert np.allclose(opened.affine, turn, atol=1e-5)
        assert nifti.canonical_spacing(opened) == (1.5, 2, 2.5)
        assert opened.odd == ()


@pytest.mark.parametrize("kinds", [{"sform": HEART}, {"sform": HEART, "qform": HEART}, {"qform": HEART}])
@pytest.mark.parametrize("packed", [False, True])
def test_sizes_of_nothing_are_not_taken_for_a_millimetre(tmp_path, kinds, packed):
    """nibabel makes 1 of them when it reads a header."""
    path = write(tmp_path / "a.nii", DATA, **kinds)
    content = bytearray(path.read_bytes())
    struct.pack_into("<f", content, PIXDIM_3, 0)
    path = tmp_path / ("b.nii.gz" if packed else "b.nii")
    path.write_bytes(gzip.compress(content) if packed else content)
    if "sform" not in kinds:
        with pytest.raises(UserError, match=r"its qform has no sizes \(pixdim\) or no rotation"):
            nifti.open_image(path)
        return
    for preferred in ("", "sform", "qform"):
        opened = nifti.open_image(path, preferred=preferred)
        assert nifti.canonical_spacing(opened) == pytest.approx((1.3158, 1.3158, 10), abs=1e-5)
        assert opened.odd == ("its pixdim holds no voxel sizes; the sform's are taken",)


def test_affines_that_are_only_turned_are_said(tmp_path):
    c, s = np.cos(np.radians(12)), np.sin(np.radians(12))
    turned = np.array([[c, -s, 0, 0], [s, c, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    opened = nifti.open_image(write(tmp_path / "a.nii", DATA, np.eye(4), turned))
    assert opened.odd == ("its sform is turned against its qform; voxel sizes and the order of axes agree",)
    assert np.array_equal(opened.affine, np.eye(4))


@pytest.mark.parametrize(("away", "odd"), [(0.2, 0), (40, 1)])
def test_affines_that_lie_elsewhere_are_said(tmp_path, away, odd):
    moved = np.eye(4)
    moved[1, 3] = away
    opened = nifti.open_image(write(tmp_path / "a.nii", DATA, np.eye(4), moved))
    assert opened.odd == ("its sform lies elsewhere than its qform; the sform is taken",) * odd
    assert np.array_equal(opened.affine, np.eye(4))


@pytest.mark.parametrize(
    ("units", "factor", "said"),
    [
        ("mm", 1, ()),
        ("unknown", 1, ("says no unit of length; taken for millimetres",)),
        ("micron", 1e-3, ("its lengths are in micrometres; converted to millimetres",)),
        ("meter", 1000, ("its lengths are in metres; converted to millimetres",)),
    ],
)
def test_spacings_are_in_millimetres_whatever_the_unit(tmp_path, units, factor, said):
    steps = np.array([0.8, 0.9, 3]) / factor
    affine = np.diag([*steps, 1])
    affine[:3, 3] = steps
    for kind in ("sform", "qform"):
        opened = nifti.open_image(write(tmp_path / f"{kind}.nii", DATA, **{kind: affine}, units=units))
        assert nifti.canonical_spacing(opened) == pytest.approx((0.8, 0.9, 3), rel=1e-6)
        assert opened.affine[:3, 3] == pytest.approx((0.8, 0.9, 3), rel=1e-6)
        assert opened.odd == said


def test_image_and_label_in_two_units_agree(tmp_path):
    image = nifti.open_image(write(tmp_path / "i.nii", DATA, np.diag([800.0, 800, 900, 1]), units="micron"))
    label = nifti.open_image(write(tmp_path / "l.nii", DATA, np.diag([0.8, 0.8, 0.9, 1])))
    nifti.check_pair(image, label)


@pytest.mark.parametrize("away", [0.1, 0.3, -4])
def test_a_label_that_lies_elsewhere_is_refused(tmp_path, away):
    affine = np.diag([0.5, -2, 3, 1])
    image = nifti.open_image(write(tmp_path / "i.nii", DATA, affine))
    affine[1, 3] = 2 * away
    label = nifti.open_image(write(tmp_path / "l.nii", DATA, affine))
    if away == 0.1:
        nifti.check_pair(image, label)
        return
    with pytest.raises(
        UserError, match=rf"l.nii: label lies {abs(away):g} voxels away from its image i.nii"
    ):
        nifti.check_pair(image, label)


def test_a_label_that_is_turned_so_little_that_only_its_far_end_shows_it(tmp_path):
    long = np.zeros((300, 4, 4), np.uint8)
    angle = 0.005
    turned = np.eye(4)
    turned[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    image = nifti.open_image(write(tmp_path / "i.nii", long, np.eye(4)))
    label = nifti.open_image(write(tmp_path / "l.nii", long, turned))
    with pytest.raises(UserError, match=r"label lies 1\.49 voxels away"):
        nifti.check_pair(image, label)


def test_a_label_that_its_image_would_not_be_turned_with_is_refused(tmp_path):
    """Each file is turned by its own axes: of two at 44.9 and 45.1 degrees one would be transposed."""
    opened = []
    for name, degrees in (("i.nii", 44.9), ("l.nii", 45.1)):
        c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        affine = np.array([[c, -s, 0, 0], [s, c, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
        opened.append(nifti.open_image(write(tmp_path / name, DATA, affine)))
    with pytest.raises(UserError, match="they must have the same orientation"):
        nifti.check_pair(*opened)


ORIENTATIONS = [
    "".join(letters)
    for order in itertools.permutations(("LR", "PA", "IS"))
    for letters in itertools.product(*order)
]


@pytest.mark.parametrize("kind", ["sform", "qform"])
def test_a_real_volume_in_all_48_orientations_is_one_volume(tmp_path, hippocampus_data, kind):
    source = nib.load(hippocampus_data / "imagesTr" / "hippocampus_001.nii.gz")
    data = np.asarray(source.dataobj)
    affine = np.diag([1, 1.25, 2, 1.0])
    assert len(set(ORIENTATIONS)) == 48
    for axes in ORIENTATIONS:
        turn = ornt_transform(axcodes2ornt("RAS"), axcodes2ornt(axes))
        stored = nib.apply_orientation(data, turn)
        path = write(tmp_path / "v.nii", stored, **{kind: affine @ inv_ornt_aff(turn, data.shape)})
        opened = nifti.open_image(path)
        assert "".join(nib.aff2axcodes(opened.affine)) == axes
        assert np.array_equal(nifti.canonical_array(opened), data)
        assert nifti.canonical_spacing(opened) == (1, 1.25, 2)


def test_an_oblique_volume_keeps_its_axes_and_spacing(tmp_path):
    c, s = np.cos(np.radians(20)), np.sin(np.radians(20))
    affine = np.array([[c, 0, s, 5], [0, 1, 0, 6], [-s, 0, c, 7], [0, 0, 0, 1]]) @ np.diag([1, 2, 3, 1.0])
    for kind in ("sform", "qform"):
        opened = nifti.open_image(write(tmp_path / "v.nii", DATA, **{kind: affine}))
        assert np.array_equal(nifti.canonical_array(opened), DATA)
        assert nifti.canonical_spacing(opened) == pytest.approx((1, 2, 3), abs=1e-6)


@pytest.mark.parametrize("more", [(1,), (1, 1)])
def test_further_axes_of_one_voxel_say_nothing(tmp_path, more):
    path = write(tmp_path / "v.nii", DATA.reshape(*DATA.shape, *more), np.eye(4))
    opened = nifti.open_image(path)
    assert opened.shape == DATA.shape
    assert np.array_equal(nifti.canonical_array(opened), DATA)


def test_channels_in_a_fifth_axis_are_channels(tmp_path):
    """As ITK writes vectors."""
    several = np.stack([DATA, -DATA], -1)[:, :, :, None]
    opened = nifti.open_image(write(tmp_path / "v.nii", several, np.eye(4)), channels=2)
    assert np.array_equal(nifti.canonical_array(opened), several[:, :, :, 0])


def labels_of(path):
    return nifti.class_indices(
        nifti.canonical_array(nifti.open_image(path)), path, named_labels(LABELS, path)
    )


def test_labels_are_whole_but_for_rounding(tmp_path):
    label = ball_volume(0)[1]
    path = tmp_path / "l.nii.gz"
    save(path, label * np.float32(0.9999999))
    assert np.array_equal(labels_of(path), label)
    save(path, label + 1e-6 * np.random.default_rng(0).normal(size=label.shape))
    assert np.array_equal(labels_of(path), label)


def test_zero_and_255_scaled_to_one_are_zero_and_one(tmp_path):
    label = (ball_volume(0)[1] > 0).astype(np.uint8)
    path = tmp_path / "l.nii"
    save(path, 255 * label)
    content = bytearray(path.read_bytes())
    struct.pack_into("<f", content, SCL_SLOPE, 1 / 255)
    path.write_bytes(content)
    stored = nib.load(path).dataobj
    assert set(np.unique(stored.get_unscaled()).tolist()) == {0, 255}
    assert set(np.unique(stored).tolist()) != {0, 1}, "not quite"
    assert np.array_equal(labels_of(path), label)


@pytest.mark.parametrize("value", ["0.5", "1.001", "0.99", "1.5e-3"])
def test_a_label_that_is_none_is_shown_with_its_digits(tmp_path, value):
    label = ball_volume(0)[1].astype(np.float64)
    label[0, 0, 0] = float(value)
    save(tmp_path / "l.nii", label)
    with pytest.raises(UserError, match=f"label {float(value)} is no whole number"):
        labels_of(tmp_path / "l.nii")


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f4", "f8"]), st.integers(0, 99))
def test_labels_of_any_type_are_the_same_classes(tmp_path, kind, seed):
    label = np.random.default_rng(seed).integers(0, 3, (4, 5, 6))
    nib.save(nib.Nifti1Image(label.astype(kind), np.eye(4), dtype=kind), tmp_path / "l.nii")
    assert np.array_equal(labels_of(tmp_path / "l.nii"), label)
