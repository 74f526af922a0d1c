"""A synthetic abdominal CT, built in: enough to run everything before any download.

Each patient is a set of ellipsoids in millimetres - body, muscle wall, spine, ribs, liver with two
lobes and vessels, spleen, kidneys, stomach, bowel, aorta, vena cava - whose places, sizes, tilts and
enhancement vary from patient to patient. Liver, spleen, stomach wall and muscle have like
intensities, so that position and shape tell them apart, not brightness. Slices are axial, rendered
at twice the resolution (partial volume), in Hounsfield units, with noise. The target is the liver.
``generate`` gives some slices of each patient, ``volumes`` whole ones.

Axes: x to the patient's left, y to the back, z to the feet; the origin in the middle of the body.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from bench.data.dataset import Dataset, fingerprint
from bench.data.decoded import decode_once
from bench.files.checksums import digest

VERSION = 1
PATIENTS, SLICES = 25, 4
SIDE, FIELD_MM, OVERSAMPLE = 128, 370.0, 2
VOLUME_SIDE, HEIGHT_MM, TOP_MM = 64, 240.0, -130.0
WINDOW = (-160.0, 240.0)
AIR, FAT, MUSCLE, BONE, MARROW = -1000.0, -100.0, 50.0, 600.0, 200.0
Plane = NDArray[np.float32]


@dataclass(frozen=True)
class Ellipsoid:
    """Something in the body: centre, radii and tilt in the axial plane (mm, radians), intensity (HU).

    ``kind`` says where it may be: ``wall`` anywhere, ``organ`` and ``liver`` inside the abdominal
    cavity (the last ``cavity`` painted), ``vessel`` inside the liver, of which it is a part.
    """

    centre: tuple[float, float, float]
    radii: tuple[float, float, float]
    hu: float
    tilt: float = 0.0
    kind: str = "organ"

    def contains(self, x: Plane, y: Plane, z: float) -> NDArray[np.bool_]:
        """Which points of an axial plane lie inside."""
        dx, dy, dz = x - self.centre[0], y - self.centre[1], z - self.centre[2]
        c, s = np.float32(np.cos(self.tilt)), np.float32(np.sin(self.tilt))
        u, v = (c * dx + s * dy) / self.radii[0], (c * dy - s * dx) / self.radii[1]
        return np.asarray(u * u + v * v + (dz / self.radii[2]) ** 2 < 1.0)


def generate(
    patients: int = PATIENTS,
    slices: int = SLICES,
    side: int = SIDE,
    seed: int = 0,
    cache: Path | None = None,
    empty: int = 0,
) -> Dataset:
    """``slices`` axial slices of each of ``patients`` patients, the same for the same arguments.

    Args:
        empty: further slices of each patient, in which there is no liver.
    """
    names = [f"phantom{patient:03}" for patient in range(patients)]
    name = "phantom-empty" if empty else "phantom"
    stored_as = (
        f"{name}-{digest(f'{VERSION} {patients} {slices} {side} {seed}' + f' {empty}' * bool(empty))}"
    )

    def decode() -> tuple[list, list]:
        pairs = []
        for patient in range(patients):
            pairs += [*render(patient, slices, side, seed), *render_empty(patient, empty, side, seed)]
        return [image for image, _ in pairs], [mask for _, mask in pairs]

    each = slices + empty
    images, masks, contents = decode_once(cache, stored_as, patients * each, decode)
    cases = tuple(f"{name}_z{k}" for name in names for k in range(each))
    owners = tuple(name for name in names for _ in range(each))
    return Dataset(
        name=name,
        cases=cases,
        patients=owners,
        images=images,
        masks=masks,
        classes=("liver",),
        fingerprint=fingerprint(cases, owners, contents, declared=WINDOW),
        window=WINDOW,
        synthetic=True,
        note="synthetic: generated slices of an abdominal phantom",
        stored_as=stored_as,
        contents=tuple(contents),
    )


def render(
    patient: int, slices: int, side: int, seed: int
) -> list[tuple[NDArray[np.int16], NDArray[np.uint8]]]:
    """A patient's slices: images ``(1, side, side)`` in HU and masks ``(side, side)``."""
    rng = np.random.default_rng([seed, patient])
    organs = anatomy(rng)
    noise = rng.uniform(12.0, 28.0)
    levels = (np.arange(slices) + rng.uniform(0.2, 0.8, slices)) / slices
    pairs = []
    for z in -60.0 + 120.0 * levels:
        image, liver = _slice(organs, float(z), side)
        pairs.append((_scanned(image, noise, rng), liver))
    return pairs


def render_empty(
    patient: int, slices: int, side: int, seed: int
) -> list[tuple[NDArray[np.int16], NDArray[np.uint8]]]:
    """Slices of the same patient above and below the liver, in turns; their masks are empty."""
    rng = np.random.default_rng([seed, patient])
    organs = anatomy(rng)
    noise = rng.uniform(12.0, 28.0)
    rng = np.random.default_rng([seed, patient, 1])
    pairs = []
    for k in range(slices):
        side_of_liver = (1.0, -1.0)[k % 2]
        z = side_of_liver * rng.uniform(75.0, 115.0)
        image, liver = _slice(organs, z, side)
        while liver.any():
            z += side_of_liver * 10.0
            image, liver = _slice(organs, z, side)
        pairs.append((_scanned(image, noise, rng), liver))
    return pairs


def _scanned(image: Plane, noise: float, rng: np.random.Generator) -> NDArray[np.int16]:
    """A slice as the scanner gives it, ``(1, side, side)``: blurred, noisy, in whole HU."""
    grain = gaussian_filter(rng.normal(0.0, 1.0, image.shape), 0.6)
    image = gaussian_filter(image, 0.5) + noise * grain / grain.std()
    return np.rint(np.clip(image, -1024, 3000)).astype(np.int16)[None]


def volumes(
    side: int = VOLUME_SIDE,
    patients: int = PATIENTS,
    seed: int = 0,
    cache: Path | None = None,
    name: str = "phantom-3d",
) -> Dataset:
    """One volume of ``side`` voxels along each axis of each of ``patients`` patients.

    In canonical orientation; 370 mm wide and deep, 240 mm high, so voxels are not cubes.
    """
    names = tuple(f"phantom{patient:03}" for patient in range(patients))
    stored_as = f"{name}-{digest(f'volumes {VERSION} {patients} {side} {seed}')}"
    spacing = ((FIELD_MM / side, FIELD_MM / side, HEIGHT_MM / side),) * patients

    def decode() -> tuple[list, list]:
        pairs = [render_volume(patient, side, seed) for patient in range(patients)]
        return [image for image, _ in pairs], [mask for _, mask in pairs]

    images, masks, contents = decode_once(cache, stored_as, patients, decode)
    return Dataset(
        name=name,
        cases=names,
        patients=names,
        images=images,
        masks=masks,
        classes=("liver",),
        fingerprint=fingerprint(names, names, contents, spacing, WINDOW),
        window=WINDOW,
        synthetic=True,
        note="synthetic: generated volumes of an abdominal phantom",
        spacing=spacing,
        modalities=("CT",),
        stored_as=stored_as,
        contents=tuple(contents),
    )


def render_volume(patient: int, side: int, seed: int) -> tuple[NDArray[np.int16], NDArray[np.uint8]]:
    """A patient's volume: image ``(1, side, side, side)`` in HU and mask, axes right, front, head."""
    rng = np.random.default_rng([seed, patient])
    organs = anatomy(rng)
    noise = rng.uniform(12.0, 28.0)
    levels = TOP_MM + HEIGHT_MM * (np.arange(side) + 0.5) / side
    planes = [_slice(organs, float(z), side) for z in levels]
    image, liver = (
        np.stack(stack).transpose(2, 1, 0)[::-1, ::-1, ::-1] for stack in zip(*planes, strict=True)
    )
    grain = gaussian_filter(rng.standard_normal(image.shape, np.float32), 0.6)
    image = gaussian_filter(image, 0.5) + noise * grain / grain.std()
    hounsfield = np.rint(np.clip(image, -1024, 3000)).astype(np.int16)
    return hounsfield[None], np.ascontiguousarray(liver)


def anatomy(rng: np.random.Generator) -> list[Ellipsoid]:
    """One patient, painted in this order: later organs cover earlier ones."""
    size = rng.uniform(0.88, 1.12)
    enhanced = rng.uniform(0.0, 1.0)  # contrast phase: 0 native, 1 portal venous

    def organ(
        x: float,
        y: float,
        z: float,
        radii: tuple[float, float, float],
        hu: float,
        kind: str = "organ",
    ) -> Ellipsoid:
        jitter = rng.normal(0.0, 5.0, 3)
        a, b, c = size * np.array(radii) * rng.uniform(0.88, 1.14, 3)
        centre = (size * x + jitter[0], size * y + jitter[1], size * z + 2 * jitter[2])
        return Ellipsoid(centre, (a, b, c), hu + rng.normal(0.0, 5.0), rng.normal(0.0, 0.18), kind)

    wide, deep = size * rng.uniform(150, 168), size * rng.uniform(102, 122)
    skin = rng.uniform(8, 26)
    soft = 52 + 45 * enhanced
    liver = soft + rng.normal(0.0, 6.0)
    back = deep - skin - 34
    parts = [
        Ellipsoid((0, 0, 0), (wide, deep, 1e4), FAT, kind="wall"),
        Ellipsoid((0, 2, 0), (wide - skin, deep - skin, 1e4), MUSCLE, kind="wall"),
        *_ribs(rng, wide - skin - 6, deep - skin - 6),
        Ellipsoid((0, -2, 0), (wide - skin - 11, deep - skin - 11, 1e4), FAT, kind="cavity"),
        Ellipsoid((0, back, 0), (23 * size, 19 * size, 1e4), BONE),
        Ellipsoid((0, back, 0), (18 * size, 14 * size, 1e4), MARROW),
        organ(-34, back, 0, (20, 15, 300), MUSCLE),
        organ(34, back, 0, (20, 15, 300), MUSCLE),
    ]
    for _ in range(6):  # bowel, of the same grey as everything else
        x, y = rng.uniform(-30, 80), rng.uniform(-50, 15)
        parts.append(organ(x, y, 70, (17, 14, 45), rng.uniform(25, soft)))
    parts += [
        organ(62, -28, -10, (40, 30, 62), soft - 8),  # stomach, then its content: fluid or gas
        organ(60, -32, -14, (30, 20, 48), rng.choice([20.0, -300.0])),
        organ(-58, 40, 35, (21, 27, 52), soft + 18),  # kidneys
        organ(60, 40, 28, (21, 27, 52), soft + 18),
        organ(98, 26, -15, (27, 44, 56), liver + rng.normal(0.0, 5.0)),  # spleen
        organ(4, back - 36, 0, (11, 11, 1e4), 45 + 120 * enhanced),  # aorta
        organ(-58, -10, -18, (72, 66, 88), liver, "liver"),
        organ(8, -42, -30, (56, 27, 52), liver, "liver"),
        organ(-24, back - 34, 0, (12, 11, 1e4), 45 + 95 * enhanced),  # vena cava
    ]
    for _ in range(5):
        x, y, z = rng.uniform(-85, -20), rng.uniform(-40, 25), rng.uniform(-60, 30)
        parts.append(organ(x, y, z, (5, 22, 6), liver + 10 + 40 * enhanced, "vessel"))
    return parts


def _ribs(rng: np.random.Generator, wide: float, deep: float) -> list[Ellipsoid]:
    angles = np.linspace(0, 2 * np.pi, 15)[:-1] + rng.uniform(0, 0.4)
    return [
        Ellipsoid(
            (wide * np.cos(angle), deep * np.sin(angle), rng.uniform(-60, 60)),
            (9.0, 4.5, 55.0),
            BONE * rng.uniform(0.5, 0.8),
            float(np.arctan2(deep * np.cos(angle), -wide * np.sin(angle))),
            "wall",
        )
        for angle in angles
    ]


def _slice(organs: list[Ellipsoid], z: float, side: int) -> tuple[Plane, NDArray[np.uint8]]:
    """One axial slice: mean HU of each pixel, and where liver fills at least half of it."""
    fine = side * OVERSAMPLE
    steps = ((np.arange(fine) + 0.5) / fine * FIELD_MM - FIELD_MM / 2).astype(np.float32)
    x, y = np.meshgrid(steps, steps)
    # Smooth bulges, so that no outline is a clean ellipse.
    x, y = x + 4 * np.sin(y / 19 + z / 23), y + 4 * np.sin(x / 23 - z / 31)
    image = np.full((fine, fine), AIR, dtype=np.float32)
    cavity = np.zeros((fine, fine), dtype=bool)
    liver = np.zeros_like(cavity)
    for organ in organs:
        reach = max(organ.radii[:2]) + 5
        columns = _window(steps, organ.centre[0], reach)
        rows = _window(steps, organ.centre[1], reach)
        there = organ.contains(x[rows, columns], y[rows, columns], z)
        if organ.kind == "cavity":
            cavity[rows, columns] = there
        elif organ.kind != "wall":
            there &= (liver if organ.kind == "vessel" else cavity)[rows, columns]
        image[rows, columns][there] = organ.hu
        liver[rows, columns][there] = organ.kind in ("liver", "vessel")
    share = _pool(liver.astype(np.float32))
    return _pool(image), (share >= 0.5).astype(np.uint8)


def _window(steps: Plane, centre: float, reach: float) -> slice:
    """Where ``steps`` are within ``reach`` of ``centre``."""
    first, last = np.searchsorted(steps, (centre - reach, centre + reach))
    return slice(int(first), int(last))


def _pool(fine: Plane) -> Plane:
    coarse = len(fine) // OVERSAMPLE
    return fine.reshape(coarse, OVERSAMPLE, coarse, OVERSAMPLE).mean(axis=(1, 3))
