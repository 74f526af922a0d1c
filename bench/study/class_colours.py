"""Colours of classes, the same everywhere: contours on the page, palettes of masks, overlays."""

CLASS_COLOURS = (
    *((240, 228, 66), (86, 180, 233), (230, 159, 0), (204, 121, 167)),
    *((0, 158, 115), (213, 94, 0), (0, 114, 178), (255, 255, 255)),
)
"""RGB of classes 1 and on, in turns: Okabe and Ito's, which most people can tell apart."""
PALETTE = ((0, 0, 0), *(CLASS_COLOURS[k % len(CLASS_COLOURS)] for k in range(255)))
"""RGB of every value of a mask of 8 bits; the background is black."""


def as_hex(index: int) -> str:
    """The colour of class ``index`` as CSS has it."""
    return "#" + bytes(PALETTE[index]).hex()
