"""A few of a run's synthetic images as a small picture."""

from __future__ import annotations

import io
import struct
from pathlib import Path

from dfkdbench.errors import IntegrityError
from dfkdbench.files import read_no_follow

THUMBNAIL = "samples.png"
LARGEST_THUMBNAIL = 1 << 13
_LARGEST_SIDE = 1024
_LARGEST_SHEET = 1 << 26
_ZOOM = 2
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_ATTEMPTS = ((4, 64), (4, 16), (3, 64), (3, 16), (2, 64), (2, 16), (1, 64), (1, 16), (1, 4))
"""Images along a side, and colours: the first that is small enough is taken."""


def check_thumbnail(data: bytes) -> None:
    """Looks at what a picture says of itself; nothing is decoded.

    Raises:
        IntegrityError: It is no PNG, or one that unfolds into a large picture.
    """
    if len(data) < 33 or data[:8] != _SIGNATURE or data[12:16] != b"IHDR":
        raise IntegrityError(f"{THUMBNAIL} is no PNG picture.")
    width, height = struct.unpack(">II", data[16:24])
    if not (0 < width <= _LARGEST_SIDE and 0 < height <= _LARGEST_SIDE):
        raise IntegrityError(f"{THUMBNAIL} has {width} x {height} pixels, at most {_LARGEST_SIDE} a side are taken.")


def make_thumbnail(sheet: Path, image_size: int) -> bytes | None:
    """The first images of a run's sheet, with few colours; None where even one of them is too large.

    Args:
        sheet: As `dfkdbench.samples.write_sheet` leaves it: images of `image_size` pixels, a line apart, doubled.

    Raises:
        IntegrityError: It is no such picture.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(read_no_follow(sheet, limit=_LARGEST_SHEET)), formats=["PNG"]) as picture:
            small = picture.convert("RGB").reduce(_ZOOM)
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError, SyntaxError) as error:
        raise IntegrityError(f"{sheet} is no sheet of images: {error}") from None
    for along, colours in _ATTEMPTS:
        side = along * (image_size + 1) - 1
        cut = small.crop((0, 0, min(side, small.width), min(side, small.height)))
        buffer = io.BytesIO()
        cut.quantize(colours).save(buffer, "PNG", optimize=True)
        if buffer.tell() <= LARGEST_THUMBNAIL and max(cut.size) <= _LARGEST_SIDE:
            return buffer.getvalue()
    return None
