"""The order of axes in a file never changes what is found, nor where the mask says that it lies."""

import json

import finished_study
import nibabel as nib
import numpy as np
import pytest
from nibabel.orientations import axcodes2ornt, ornt_transform
from volume_files import AXCODES, scanned

from bench.using.folder import predict_files
from bench.using.wishes import Wish


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    return finished_study.network_of(tmp_path_factory.mktemp("study"), finished_study.volumes())


def predicted(network, folder, **scans):
    """The masks of some images, as files."""
    (folder / "in").mkdir()
    for name, image in scans.items():
        nib.save(image, folder / "in" / f"{name}.nii.gz")
    rows = predict_files(network, [folder / "in"], folder / "out", Wish(device="cpu"))
    assert {row["status"] for row in rows} == {"done"}
    return {name: nib.load(folder / "out" / f"{name}.nii.gz") for name in scans}


def same_grid(mask, image):
    assert mask.shape == image.shape
    assert mask.get_data_dtype() == np.uint8
    assert np.array_equal(mask.affine, image.affine)
    for name in ("qform_code", "sform_code", "pixdim", "xyzt_units"):
        assert np.array_equal(mask.header[name], image.header[name]), name
    assert np.allclose(mask.get_qform(), image.get_qform())


def test_all_48_orders_of_axes_give_one_mask(network, tmp_path):
    assert len(set(AXCODES)) == 48
    own = axcodes2ornt("RAS")
    scans = {code: scanned().as_reoriented(ornt_transform(own, axcodes2ornt(code))) for code in AXCODES}
    masks = predicted(network, tmp_path, **scans)
    straight = np.asarray(masks["RAS"].dataobj)
    assert 0.01 < straight.mean() < 0.99, "else this says nothing"
    for code, mask in masks.items():
        same_grid(mask, nib.load(tmp_path / "in" / f"{code}.nii.gz"))
        assert nib.aff2axcodes(mask.affine) == tuple(code)
        assert np.array_equal(np.asarray(nib.as_closest_canonical(mask).dataobj), straight), code


def test_oblique_volumes_and_those_with_one_form_keep_theirs(network, tmp_path):
    oblique, sform, qform = scanned(20), scanned(20), scanned(20)
    sform.set_qform(None, 0)
    qform.set_sform(None, 0)
    scans = {"oblique": oblique, "sform": sform, "qform": qform}
    masks = predicted(network, tmp_path, straight=scanned(), **scans)
    first = np.asarray(masks["straight"].dataobj)
    for name, image in scans.items():
        same_grid(masks[name], nib.load(tmp_path / "in" / f"{name}.nii.gz"))
        assert (np.asarray(masks[name].dataobj) != first).mean() < 1e-4, "turning changes no voxel"
        assert np.allclose(masks[name].affine, image.affine, atol=1e-4)


def test_a_mask_holds_no_text_of_its_image(network, tmp_path):
    image = scanned()
    image.header["descrip"] = b"DOE^JANE"
    image.header["aux_file"] = b"DOE^JANE"
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"DOE^JANE"))
    [mask] = predicted(network, tmp_path, one=image).values()
    assert b"DOE" not in mask.header.binaryblock
    assert not mask.header.extensions
    assert "DOE" not in (tmp_path / "out" / "predictions.json").read_text()


def test_a_header_that_contradicts_itself_needs_the_option_and_what_is_odd_is_said(
    network, tmp_path, caplog
):
    image = scanned()
    image.set_qform(np.diag([2.0, 2.6, 4.2, 1.0]), 1)
    image.header.set_xyzt_units(0)
    nib.save(image, tmp_path / "x.nii.gz")
    (row,) = predict_files(network, [tmp_path / "x.nii.gz"], tmp_path / "a", Wish(device="cpu"))
    assert "--affine qform" in row["reason"]
    wish = Wish(device="cpu", affine="qform")
    with caplog.at_level("WARNING", logger="bench"):
        (row,) = predict_files(network, [tmp_path / "x.nii.gz"], tmp_path / "b", wish)
    assert row["spacing_mm"] == pytest.approx([2, 2.6, 4.2], abs=1e-3)
    assert "says no unit of length; taken for millimetres" in caplog.text
    assert json.loads((tmp_path / "b" / "predictions.json").read_text())["affine"] == "qform"
