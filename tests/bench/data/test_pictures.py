"""Single images and masks: read in full, the right way up, or refused with the reason."""

import contextlib
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from image_files import GREY, GREY_ALPHA, PALETTE, RGB, RGBA, save, write_png, write_tiff
from PIL import Image

from bench.data.pictures import read_image, read_mask
from bench.errors import UserError

RNG = np.random.default_rng(0)
DEEP = RNG.integers(0, 65536, (6, 8, 4), dtype=np.uint16)
FLAT = (DEEP % 256).astype(np.uint8)
COLOURS = [(0, 0, 0), (200, 0, 0), (0, 200, 0), (0, 0, 200)]
same_folder = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

READ = {
    "grey.png": (lambda p: save(p, FLAT[..., 0]), FLAT[..., 0]),
    "GREY.PNG": (lambda p: save(p, FLAT[..., 0]), FLAT[..., 0]),
    "colour.png": (lambda p: save(p, FLAT[..., :3]), FLAT[..., :3]),
    "colour.BMP": (lambda p: save(p, FLAT[..., :3]), FLAT[..., :3]),
    "colour.tif": (lambda p: save(p, FLAT[..., :3], compression="tiff_lzw"), FLAT[..., :3]),
    "opaque.png": (
        lambda p: save(p, np.dstack([FLAT[..., :3], np.full((6, 8), 255, np.uint8)])),
        FLAT[..., :3],
    ),
    "bits.png": (lambda p: write_png(p, FLAT[..., 0] % 2, GREY, 1), FLAT[..., 0] % 2 * 255),
    "deep.png": (lambda p: write_png(p, DEEP[..., 0], GREY, 16), DEEP[..., 0]),
    "deep.tif": (lambda p: write_tiff(p, DEEP[..., 0]), DEEP[..., 0]),
    "signed.tif": (lambda p: write_tiff(p, DEEP[..., 0].view(np.int16), 1, 2), DEEP[..., 0].view(np.int16)),
    "long.tif": (lambda p: write_tiff(p, DEEP[..., 0].astype(np.uint32) << 16), DEEP[..., 0] * 65536.0),
    "float.tif": (
        lambda p: write_tiff(p, DEEP[..., 0] / np.float32(7), 1, 3),
        DEEP[..., 0] / np.float32(7),
    ),
    "deep.pgm": (lambda p: save(p, DEEP[..., 0]), DEEP[..., 0]),
}


@pytest.mark.parametrize("name", READ)
def test_images_are_read_in_full(tmp_path, name):
    write, expected = READ[name]
    write(tmp_path / name)
    pixels = read_image(tmp_path / name).pixels
    assert pixels.dtype == (np.uint8 if expected.dtype in (np.uint8, bool) else np.float32)
    assert np.array_equal(pixels, expected)


CUT = {
    "rgb16.png": (
        lambda p: write_png(p, DEEP[..., :3], RGB, 16),
        "colour of 16 bits a channel, which would be cut",
    ),
    "rgba16.png": (lambda p: write_png(p, DEEP, RGBA, 16), "colour of 16 bits a channel"),
    "alpha16.png": (lambda p: write_png(p, DEEP[..., :2], GREY_ALPHA, 16), "colour of 16 bits a channel"),
    "rgb16.tif": (lambda p: write_tiff(p, DEEP[..., :3], 2), "colour of 16 bits a channel"),
    "four.tif": (lambda p: write_tiff(p, FLAT, 2, 1, (0,)), "4 channels, of which only 3 would be read"),
    "two.tif": (
        lambda p: write_tiff(p, FLAT[..., :2], 1, 1, (0,)),
        "2 channels, of which only 1 would be read",
    ),
    "signed.tif": (lambda p: write_tiff(p, FLAT[..., 0].view(np.int8), 1, 2), "signed values of 8 bits"),
    "inverted.tif": (lambda p: write_tiff(p, DEEP[..., 0], 0), "inverted (0 is white)"),
    "side.tif": (lambda p: save(p, FLAT[..., 0], 6), "lies on its side (orientation 6)"),
    "half.png": (lambda p: save(p, FLAT), "its alpha channel is not opaque all over"),
    "cmyk.tif": (
        lambda p: save(p, Image.fromarray(FLAT, "CMYK")),
        "pixels of the kind CMYK; an image must be grey",
    ),
    "nan.tif": (
        lambda p: write_tiff(p, np.full((2, 2), np.nan, np.float32), 1, 3),
        "4 of 4 pixels are NaN",
    ),
    "low.pgm": (
        lambda p: p.write_bytes(b"P5 2 2 4095\n" + b"\1\2" * 4),
        "its highest value is 4095, must be",
    ),
    "pages.tif": (
        lambda p: save(p, FLAT[..., 0], save_all=True, append_images=[Image.fromarray(FLAT[..., 1])]),
        "holds 2 pages; a file must hold one image",
    ),
    "page.eps": (lambda p: save(p, FLAT[..., 0]), "not a readable image"),
}


@pytest.mark.parametrize("name", CUT)
def test_what_would_be_cut_is_refused(tmp_path, name):
    write, message = CUT[name]
    write(tmp_path / name)
    with pytest.raises(UserError) as error:
        read_image(tmp_path / name)
    assert message in str(error.value)
    assert str(error.value).startswith(str(tmp_path / name))


TURNS = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: np.rot90,
}
"""What each EXIF orientation means (EXIF 2.32, table 6)."""


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("ending", ["png", "jpg", "tif"])
def test_exif_orientation_is_applied_to_images_and_masks(tmp_path, orientation, ending):
    path = tmp_path / f"x.{ending}"
    pixels = np.kron(np.arange(6, dtype=np.uint8).reshape(2, 3), np.full((8, 8), 30, np.uint8))
    save(path, pixels, orientation)
    if ending == "tif" and orientation > 4:
        with pytest.raises(UserError, match="lies on its side"):
            read_mask(path)
        return
    picture, expected = read_image(path), TURNS[orientation](pixels)
    assert picture.turned == (orientation > 1)
    assert picture.pixels.shape == expected.shape
    assert np.abs(picture.pixels.astype(int) - expected).max() < 8, "JPEG is not exact"
    if ending != "jpg":
        mask = read_mask(path)
        assert mask.turned == picture.turned
        assert np.array_equal(mask.values, expected)


@given(st.data())
@same_folder
def test_masks_come_back_however_they_are_stored(tmp_path, data):
    """Indices of a palette and grey values of any depth are the numbers that were written."""
    bits = data.draw(st.sampled_from([1, 2, 4, 8, 16]))
    kind = data.draw(st.sampled_from([GREY, PALETTE] if bits < 16 else [GREY]))
    top = min(2**bits, 4 if kind == PALETTE else 2**bits)
    rows, columns = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 9))
    values = np.random.default_rng(data.draw(st.integers(0, 99))).integers(0, top, (rows, columns))
    write_png(tmp_path / "m.png", values, kind, bits, COLOURS[:top] if kind == PALETTE else ())
    mask = read_mask(tmp_path / "m.png")
    assert np.array_equal(mask.values, values)
    assert mask.palette == ({v: COLOURS[v] for v in np.unique(values).tolist()} if kind == PALETTE else {})


@given(st.integers(0, 2**16))
@same_folder
def test_whole_numbers_of_any_type_are_values(tmp_path, seed):
    values = np.random.default_rng(seed).integers(0, 4, (5, 6))
    for kind, form in ((np.uint8, 1), (np.uint16, 1), (np.int16, 2), (np.uint32, 1), (np.float32, 3)):
        write_tiff(tmp_path / "m.tif", values.astype(kind), 1, form)
        assert np.array_equal(read_mask(tmp_path / "m.tif").values, values)
    save(tmp_path / "m.png", np.repeat(values[..., None], 3, 2).astype(np.uint8))
    assert np.array_equal(read_mask(tmp_path / "m.png").values, values), "grey stored as RGB"


OBJECT = np.zeros((8, 8), np.uint8)
OBJECT[2:6, 2:6] = 255
FULL = np.full((8, 8), 255, np.uint8)
COLOURED = np.zeros((8, 8, 3), np.uint8)
COLOURED[2:6, 2:6, 0] = 255
NO_MASK = {
    "mask.jpg": (lambda p: save(p, OBJECT), "a JPEG can't be a mask, for its compression"),
    "mask.webp": (lambda p: save(p, COLOURED), "a WEBP can't be a mask"),
    "jpeg.tif": (lambda p: save(p, OBJECT, compression="jpeg"), "a TIFF with JPEG inside can't be a mask"),
    "colour.png": (
        lambda p: save(p, COLOURED),
        "a coloured mask (2 colours: (0, 0, 0), (255, 0, 0)); which class a colour is can't be "
        "known: save it as a grey or palette PNG",
    ),
    "alpha.png": (
        lambda p: save(p, np.dstack([FULL, FULL, FULL, OBJECT])),
        "its alpha channel is not opaque all over; a mask in an alpha channel is not "
        "read; save it as a grey PNG",
    ),
    "black.png": (
        lambda p: save(p, np.dstack([FULL * 0, OBJECT])),
        "a mask in an alpha channel is not read",
    ),
    "inverted.tif": (
        lambda p: write_tiff(p, OBJECT, 0),
        "0 is white: whether 0 is the background or the object can't be known; save the mask as PNG",
    ),
    "half.tif": (
        lambda p: write_tiff(p, OBJECT / np.float32(510), 1, 3),
        "label 0.5 is no whole number",
    ),
}


@pytest.mark.parametrize("name", NO_MASK)
def test_what_is_no_mask_is_refused_with_the_reason(tmp_path, name):
    write, message = NO_MASK[name]
    write(tmp_path / name)
    with pytest.raises(UserError) as error:
        read_mask(tmp_path / name)
    assert message in str(error.value)


@given(st.sampled_from(["png", "tif", "jpg", "bmp", "gif"]), st.integers(0, 2**32))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_files_are_refused_or_read_and_nothing_else(tmp_path, ending, seed):
    path = tmp_path / f"x.{ending}"
    save(path, COLOURED if seed % 2 else OBJECT)
    rng = np.random.default_rng(seed)
    content = bytearray(path.read_bytes())
    for place in rng.integers(0, len(content), rng.integers(1, 5)):
        content[place] = rng.integers(256)
    path.write_bytes(content[: rng.integers(1, len(content))] if seed % 3 == 0 else content)
    for read in (read_image, read_mask):
        with contextlib.suppress(UserError), warnings.catch_warnings(action="ignore"):
            read(path)


def test_a_palettes_transparency_says_nothing_about_a_mask(tmp_path):
    image = Image.fromarray(OBJECT // 255)
    image = image.convert("P")
    image.putdata((OBJECT // 255).ravel().tolist())
    image.putpalette([0, 0, 0, 255, 0, 0])
    image.save(tmp_path / "m.png", transparency=0)
    assert np.array_equal(read_mask(tmp_path / "m.png").values, OBJECT // 255)
