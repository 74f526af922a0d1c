"""Valid but odd files, made by other libraries: what is read is what those libraries read."""

import contextlib
import warnings

import numpy as np
import pytest
from commands import needs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.data import nifti
from bench.data.pictures import read_image, read_mask
from bench.errors import UserError

fuzz = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def sitk():
    return needs("SimpleITK")


@pytest.fixture(scope="module")
def cv2():
    return needs("cv2")


@pytest.fixture(scope="module")
def tifffile():
    return needs("tifffile")


def turned(rng, oblique):
    """Direction cosines: any order and sign of the axes, and a turn of some degrees."""
    axes = np.eye(3)[rng.permutation(3)] * rng.choice([-1, 1], 3)
    x, y, z = np.radians(rng.uniform(-20, 20, 3)) * oblique
    about_x = np.array([[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_z = np.array([[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]])
    return about_x @ about_y @ about_z @ axes


KINDS = ["int8", "uint8", "int16", "uint16", "int32", "uint32", "float32", "float64"]


@given(st.integers(0, 2**32), st.sampled_from(KINDS), st.booleans(), st.sampled_from(["nii", "nii.gz"]))
@fuzz
def test_volumes_that_simpleitk_writes(sitk, tmp_path, seed, kind, oblique, ending):
    rng = np.random.default_rng(seed)
    voxels = rng.integers(0, 100, rng.integers(2, 9, 3)).astype(kind)
    image = sitk.GetImageFromArray(voxels)
    spacing = rng.uniform(0.3, 8, 3)
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(rng.uniform(-300, 300, 3).tolist())
    image.SetDirection(turned(rng, oblique).ravel().tolist())
    for old in tmp_path.iterdir():
        old.unlink()  # of v.nii beside v.nii.gz ITK reads the voxels of the first whichever is named
    path = tmp_path / f"v.{ending}"
    sitk.WriteImage(image, str(path))
    straight = sitk.DICOMOrient(sitk.ReadImage(str(path)), "RAS")
    opened = nifti.open_image(path)
    assert opened.odd == ()
    assert np.array_equal(
        nifti.canonical_array(opened), sitk.GetArrayFromImage(straight).transpose(2, 1, 0)
    )
    assert nifti.canonical_spacing(opened) == pytest.approx(straight.GetSpacing(), rel=1e-4)
    corner = straight.TransformIndexToPhysicalPoint((0, 0, 0))
    order = np.argmax(np.abs(opened.affine[:3, :3]), axis=0)
    ends = [
        0 if opened.affine[axis, k] > 0 else side - 1
        for k, (axis, side) in enumerate(zip(order, opened.shape, strict=True))
    ]
    ours = opened.affine @ (*ends, 1)
    assert ours[:3] * (-1, -1, 1) == pytest.approx(corner, abs=1e-2), "DICOM's left and back are positive"


@given(st.integers(0, 2**32))
@settings(fuzz, max_examples=20)
def test_channels_that_simpleitk_writes(sitk, tmp_path, seed):
    """A vector image, and a series of volumes."""
    rng = np.random.default_rng(seed)
    voxels = rng.normal(size=(4, 5, 6, 3)).astype(np.float32)
    vector = sitk.GetImageFromArray(voxels, isVector=True)
    series = sitk.JoinSeries([sitk.GetImageFromArray(voxels[..., k]) for k in range(3)])
    for name, image in (("vector.nii.gz", vector), ("series.nii", series)):
        sitk.WriteImage(image, str(tmp_path / name))
        opened = nifti.open_image(tmp_path / name, channels=3)
        # ITK's x and y point left and back: both are turned round.
        assert np.array_equal(nifti.canonical_array(opened), voxels.transpose(2, 1, 0, 3)[::-1, ::-1])
        with pytest.raises(UserError, match=r"dataset\.json means 3-D volumes"):
            nifti.open_image(tmp_path / name)


def test_a_volume_of_one_slice_or_in_one_moment_that_simpleitk_writes(sitk, tmp_path):
    voxels = np.arange(24, dtype=np.int16).reshape(1, 4, 6)
    sitk.WriteImage(sitk.GetImageFromArray(voxels), str(tmp_path / "slice.nii"))
    moment = sitk.JoinSeries([sitk.GetImageFromArray(voxels)])
    sitk.WriteImage(moment, str(tmp_path / "moment.nii"))
    for name in ("slice.nii", "moment.nii"):
        array = nifti.canonical_array(nifti.open_image(tmp_path / name))
        assert np.array_equal(array, voxels.transpose(2, 1, 0)[::-1, ::-1])


def random_pixels(rng, kind, channels):
    shape = (*rng.integers(1, 20, 2).tolist(), *([channels] if channels > 1 else []))
    if np.dtype(kind).kind == "f":
        return rng.normal(size=shape).astype(kind)
    most = np.iinfo(kind)
    return rng.integers(most.min, most.max, shape, kind, endpoint=True)


def read(path):
    """The pixels as they are read, or None where the file is refused in one line that names it."""
    with warnings.catch_warnings(action="ignore"):
        try:
            return read_image(path).pixels
        except UserError as error:
            assert str(error).startswith(str(path))
            return None


@given(
    st.integers(0, 2**32),
    st.sampled_from(["png", "tif", "bmp", "pgm", "ppm", "webp", "jpg"]),
    st.sampled_from(["uint8", "uint16", "float32"]),
    st.sampled_from([1, 3, 4]),
)
@settings(fuzz, max_examples=80)
def test_images_that_opencv_writes(cv2, tmp_path, seed, ending, kind, channels):
    path = tmp_path / f"x.{ending}"
    path.unlink(missing_ok=True)
    with contextlib.suppress(cv2.error):
        cv2.imwrite(str(path), random_pixels(np.random.default_rng(seed), kind, channels))
    if not path.is_file() or not path.stat().st_size:
        return  # OpenCV can't write such a file either
    theirs, ours = cv2.imread(str(path), cv2.IMREAD_UNCHANGED), read(path)
    deep_colour = theirs.dtype != np.uint8 and theirs.ndim == 3
    see_through = theirs.ndim == 3 and theirs.shape[2] == 4 and (theirs[..., 3] != 255).any()
    if ours is None:
        assert deep_colour or see_through, "no other file of OpenCV's is refused"
        return
    assert not deep_colour
    assert not see_through
    theirs = theirs[..., 2::-1] if theirs.ndim == 3 else theirs
    assert ours.dtype == (np.uint8 if theirs.dtype == np.uint8 else np.float32)
    if ending in ("jpg", "webp"):
        assert ours.shape == theirs.shape
        assert np.abs(ours.astype(int) - theirs).max() <= 4, "decoders round in their own ways"
    else:
        assert np.array_equal(ours, theirs)


@given(
    st.integers(0, 2**32),
    st.sampled_from(["uint8", "uint16"]),
    st.sampled_from(["png", "tif", "bmp", "pgm"]),
)
@fuzz
def test_masks_that_opencv_writes(cv2, tmp_path, seed, kind, ending):
    rng = np.random.default_rng(seed)
    mask = (rng.integers(0, 4, rng.integers(1, 20, 2)) * rng.choice([1, 40])).astype(kind)
    path = tmp_path / f"m.{ending}"
    grey = ending == "pgm" or rng.random() < 0.7
    cv2.imwrite(str(path), mask if grey else cv2.merge([mask] * 3))
    expected = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if expected.dtype == np.uint16 and expected.ndim == 3:
        with pytest.raises(UserError, match="colour of 16 bits"):
            read_mask(path)
        return
    values = read_mask(path).values
    assert np.array_equal(values, expected if expected.ndim == 2 else expected[..., 0])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_opencv_turns_a_photograph_the_same_way(cv2, tmp_path, orientation):
    from image_files import save

    pixels = np.kron(np.arange(6, dtype=np.uint8).reshape(2, 3), np.full((8, 8), 30, np.uint8))
    save(tmp_path / "x.jpg", np.repeat(pixels[..., None], 3, 2), orientation, quality=95)
    theirs = cv2.imread(str(tmp_path / "x.jpg"), cv2.IMREAD_COLOR)[..., ::-1]
    ours = read_image(tmp_path / "x.jpg").pixels
    assert ours.shape == theirs.shape
    assert np.abs(ours.astype(int) - theirs).max() <= 4


TIFF = [
    {},
    {"compression": "zlib"},
    {"compression": "zlib", "predictor": True},
    {"compression": "lzma"},
    {"compression": "packbits"},
    {"tile": (16, 16)},
    {"rowsperstrip": 2},
    {"planarconfig": "separate"},
    {"byteorder": ">"},
    {"bigtiff": True},
    {"imagej": True},
    {"photometric": "miniswhite"},
    {"subfiletype": 1},
    {"resolution": (300, 300), "resolutionunit": "CENTIMETER"},
]


@given(
    st.integers(0, 2**32),
    st.sampled_from(TIFF),
    st.sampled_from(
        ["bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "float16", "float32", "float64"]
    ),
    st.sampled_from([1, 3, 4]),
)
@settings(fuzz, max_examples=150)
def test_images_that_tifffile_writes(tifffile, tmp_path, seed, options, kind, channels):
    rng = np.random.default_rng(seed)
    pixels = (
        rng.random(rng.integers(1, 20, 2)) > 0.5 if kind == "bool" else random_pixels(rng, kind, channels)
    )
    options = dict(options)
    if pixels.ndim == 3:
        options["photometric"] = "rgb"
    apart = options.get("planarconfig") == "separate" and pixels.ndim == 3
    if apart:
        pixels = np.ascontiguousarray(np.moveaxis(pixels, -1, 0))
    path = tmp_path / "x.tif"
    try:
        file = {key: options.pop(key) for key in ("byteorder", "bigtiff", "imagej") if key in options}
        tifffile.imwrite(path, pixels, **file, **options)
    except Exception:  # what it can't write, or only with another library
        return
    theirs = tifffile.imread(path)
    theirs = np.moveaxis(theirs, 0, -1) if apart else theirs
    ours = read(path)
    if ours is None:
        return
    assert theirs.ndim == 2 or channels == 3 or (theirs[..., 3] == 255).all(), "nothing is left out"
    theirs = theirs[..., :3] if theirs.ndim == 3 else theirs
    if tifffile.TiffFile(path).pages[0].photometric == tifffile.PHOTOMETRIC.MINISWHITE:
        theirs = ~theirs  # it gives what is stored, not what is meant
        with pytest.raises(UserError, match="0 is white"):
            read_mask(path)
    if theirs.dtype == bool:
        theirs = theirs * np.uint8(255)
    assert np.array_equal(ours, theirs.astype(ours.dtype))


PLAIN = [
    (options, kind)
    for options in TIFF[:11]
    for kind in ("uint8", "uint16", "int16", "int32", "float32")
    if not (options.get("imagej") and kind == "int32")
]


@pytest.mark.parametrize(("options", "kind"), PLAIN, ids=str)
def test_ordinary_tiffs_of_tifffile_are_read_not_refused(tifffile, tmp_path, options, kind):
    pixels = random_pixels(np.random.default_rng(0), kind, 1)
    try:
        tifffile.imwrite(tmp_path / "x.tif", pixels, **options)
    except Exception as error:
        pytest.skip(f"tifffile alone can't write it ({error})")
    ours = read_image(tmp_path / "x.tif").pixels
    assert np.array_equal(ours, pixels.astype(ours.dtype))
