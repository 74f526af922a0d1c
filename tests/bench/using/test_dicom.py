"""DICOM: a series lies where its NIfTI twin lies, and no tag goes further than the reader."""

import sys

import finished_study
import nibabel as nib
import numpy as np
import pytest
from commands import needs
from nibabel.orientations import axcodes2ornt, ornt_transform
from PIL import Image
from volume_files import ball_volume

from bench.errors import UserError
from bench.using import dicom
from bench.using.folder import predict_files
from bench.using.inputs import find
from bench.using.wishes import Wish

pydicom = needs("pydicom")
SECRET = "DOE^JANE"
SPACING = (1.0, 1.3, 2.1)
LPS = np.diag([-1.0, -1.0, 1.0])


def write_slice(path, pixels, **tags):
    """One file of uint16 pixels ``(rows, columns)``."""
    data = pydicom.Dataset()
    data.file_meta = pydicom.dataset.FileMetaDataset()
    data.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = pydicom.uid.generate_uid()
    data.PatientName = data.PatientID = data.InstitutionName = SECRET
    data.SeriesDescription = SECRET
    data.Rows, data.Columns = pixels.shape[:2]
    data.BitsAllocated = data.BitsStored = 8 * pixels.dtype.itemsize
    data.HighBit = data.BitsStored - 1
    data.PixelRepresentation = 0
    data.SamplesPerPixel = 1 if pixels.ndim == 2 else 3
    data.PhotometricInterpretation = "MONOCHROME2" if pixels.ndim == 2 else "RGB"
    if pixels.ndim == 3:
        data.PlanarConfiguration = 0
    data.SeriesInstanceUID = "1.2.3.4"
    for name, value in tags.items():
        setattr(data, name, value)
    data.PixelData = pixels.tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)


def write_series(folder, image, order=None, uid="1.2.3.4"):
    """A file a slice along the last axis; columns follow the first axis, rows the second."""
    values = np.asarray(image.dataobj)
    axes = LPS @ image.affine[:3, :3]
    steps = np.linalg.norm(axes, axis=0)
    frame = [*(axes[:, 0] / steps[0]), *(axes[:, 1] / steps[1])]
    count = values.shape[2]
    for place, k in enumerate(order if order is not None else range(count)):
        origin = LPS @ (image.affine @ [0, 0, k, 1])[:3]
        write_slice(
            folder / f"IM{place:04}", (values[:, :, k].T + 1024).astype(np.uint16), SeriesInstanceUID=uid,
            ImageOrientationPatient=[f"{value:.9g}" for value in frame],
            ImagePositionPatient=[f"{value:.9g}" for value in origin],
            PixelSpacing=[f"{steps[1]:.9g}", f"{steps[0]:.9g}"], RescaleSlope="1", RescaleIntercept="-1024",
        )  # fmt: skip


def scanned(axcodes="LPS", angle=0.0):
    """A CT of whole numbers, its axes in some order."""
    turn = np.deg2rad(angle)
    affine = np.eye(4)
    affine[1:3, 1:3] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    affine[:3, :3] *= SPACING
    affine[:3, 3] = (-31, 17, 240)
    values = np.rint(ball_volume(1, (24, 20, 18))[0]) - 150
    image = nib.Nifti1Image(values.astype(np.int16), affine)
    return image.as_reoriented(ornt_transform(axcodes2ornt("RAS"), axcodes2ornt(axcodes)))


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    return finished_study.network_of(tmp_path_factory.mktemp("study"), finished_study.volumes())


def straight(path):
    image = nib.as_closest_canonical(nib.load(path))
    return np.asarray(image.dataobj), image.affine


@pytest.mark.parametrize("axcodes", ["LPS", "RAS", "PSR", "LSA", "RIP"])
@pytest.mark.parametrize("angle", [0, 20])
def test_a_series_has_the_mask_of_the_same_volume_as_nifti(network, tmp_path, axcodes, angle):
    image = scanned(axcodes, angle)
    (tmp_path / "in").mkdir()
    nib.save(image, tmp_path / "in/nifti.nii.gz")
    shuffled = np.random.default_rng(0).permutation(image.shape[2])
    write_series(tmp_path / "in/series", image, shuffled)
    rows = predict_files(network, [tmp_path / "in"], tmp_path / "out", Wish(device="cpu", overlay=True))
    assert [(row["case"], row["status"]) for row in rows] == [("nifti", "done"), ("series", "done")]
    (mask, affine), (other, theirs) = (straight(tmp_path / f"out/{n}.nii.gz") for n in ("nifti", "series"))
    assert 0.01 < mask.mean() < 0.99
    assert np.allclose(affine, theirs, atol=1e-4)
    assert (mask != other).mean() < 1e-4
    if not angle:
        assert np.array_equal(mask, other)


def test_no_tag_goes_further(bench, tmp_path):
    study, job_id = finished_study.finish(tmp_path / "s", finished_study.volumes())
    write_series(tmp_path / "in/good", scanned())
    write_series(tmp_path / "in/gap", scanned())
    (tmp_path / "in/gap/IM0007").unlink()
    write_series(tmp_path / "in/broken", scanned())
    broken = tmp_path / "in/broken/IM0003"
    broken.write_bytes(broken.read_bytes()[:-100])
    result = bench(
        "predict", f"{study.root}:{job_id}", tmp_path / "in", "-o", tmp_path / "out", "--overlay"
    )
    assert result.code == 1
    assert "IM0008: lies 4.20 mm behind the slice before it, others 2.10 mm" in result.err
    assert "IM0003: " in result.err
    said = result.out + result.err + str(sorted(tmp_path.rglob("*")))
    written = b"".join(path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert "DOE" not in said
    assert b"DOE" not in written
    assert (tmp_path / "out/good.nii.gz").is_file()


def test_several_series_of_a_folder_are_numbered(network, tmp_path):
    write_series(tmp_path / "in", scanned(), uid="1.2.9")
    for path in sorted((tmp_path / "in").iterdir()):
        path.rename(path.with_name(f"B{path.name}"))
    write_series(tmp_path / "in", scanned("PSR"), uid="1.2.10")
    found, _ = find([tmp_path / "in"], network.made_for, tmp_path / "out")
    assert [(one.name, one.paths[0].name, len(one.paths)) for one in found] == [
        ("in_1", "BIM0000", 18),
        ("in_2", "IM0000", 24),
    ]


def test_a_file_that_is_no_dicom_spoils_the_series_of_its_folder(network, tmp_path):
    write_series(tmp_path / "in", scanned())
    (tmp_path / "in/x.dcm").write_bytes(b"text")
    [row] = predict_files(network, [tmp_path / "in"], tmp_path / "out", Wish(device="cpu"))
    assert row["status"] == "failed"
    assert row["reason"].startswith(f"{tmp_path / 'in/x.dcm'}: not a readable DICOM file")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"ImagePositionPatient": None}, "does not say where it lies"),
        ({"PixelSpacing": ["0", "1"]}, "can't be"),
        ({"ImageOrientationPatient": ["1", "0", "0", "1", "0", "0"]}, "can't be"),
        ({"PixelSpacing": ["2", "2"]}, "is not that of"),
        ({"PhotometricInterpretation": "MONOCHROME1"}, "0 is white"),
        ({"NumberOfFrames": "3"}, "holds 3 frames"),
    ],
)
def test_slices_that_make_no_volume_are_named(tmp_path, change, said):
    write_series(tmp_path, scanned())
    path = tmp_path / "IM0005"
    data = pydicom.dcmread(path)
    for name, value in change.items():
        setattr(data, name, value) if value is not None else delattr(data, name)
    data.save_as(path)
    with pytest.raises(UserError, match=said) as error:
        dicom.read_series(sorted(tmp_path.iterdir()))
    assert "IM0005" in str(error.value)


def test_a_single_file_is_an_image_for_a_network_of_images(tmp_path):
    network = finished_study.network_of(tmp_path / "s", finished_study.images())
    pixels = np.random.default_rng(0).normal(100, 30, (30, 22)).clip(0, 255).astype(np.uint8)
    write_slice(tmp_path / "in/a.dcm", pixels, PixelSpacing=["0.5", "0.25"])
    write_slice(
        tmp_path / "in/colour.dcm", np.stack([pixels] * 3, axis=-1) // np.array([1, 2, 3], np.uint8)
    )
    rows = predict_files(network, [tmp_path / "in"], tmp_path / "out", Wish(device="cpu"))
    assert [row["status"] for row in rows] == ["done", "failed"]
    assert rows[0]["spacing_mm"] == [0.5, 0.25]
    assert "is in colour; the network needs grey images" in rows[1]["reason"]
    with Image.open(tmp_path / "out/a.png") as mask:
        assert mask.size == (22, 30)
        assert np.allclose(mask.info["dpi"], (101.6, 50.8), atol=0.1)


def test_without_pydicom_one_sentence_says_so(network, tmp_path, monkeypatch):
    write_series(tmp_path / "in", scanned())
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(
        UserError, match=r"DICOM files: the package pydicom is missing; pip install .* -e '\.\[dicom\]'"
    ):
        predict_files(network, [tmp_path / "in"], tmp_path / "out", Wish(device="cpu"))
