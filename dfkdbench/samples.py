"""A sheet of synthetic images for people to look at."""

from __future__ import annotations

import io
import math
from pathlib import Path

import torch
from PIL import Image

from dfkdbench.files import write_atomically
from dfkdbench.plan import InputSpec

SHOWN = 64


def write_sheet(images: torch.Tensor, target: Path, spec: InputSpec, zoom: int = 2) -> None:
    """Draws the first images (N, C, H, W), taken back from the teacher's input space, as one PNG."""
    write_atomically(target, _draw(images[:SHOWN].float(), spec, zoom))


def _draw(images: torch.Tensor, spec: InputSpec, zoom: int) -> bytes:
    mean = torch.tensor(spec.mean).view(1, -1, 1, 1)
    std = torch.tensor(spec.std).view(1, -1, 1, 1)
    pixels = ((images.nan_to_num() * std + mean).clamp(0, 1) * 255).round().to(torch.uint8)
    count, channels, height, width = pixels.shape
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    sheet = torch.full((channels, rows * (height + 1) - 1, columns * (width + 1) - 1), 255, dtype=torch.uint8)
    for index in range(count):
        top, left = index // columns * (height + 1), index % columns * (width + 1)
        sheet[:, top : top + height, left : left + width] = pixels[index]
    array = sheet.permute(1, 2, 0).numpy()
    picture = Image.fromarray(array[:, :, 0] if channels == 1 else array)
    buffer = io.BytesIO()
    picture.resize((picture.width * zoom, picture.height * zoom), Image.Resampling.NEAREST).save(buffer, "PNG")
    return buffer.getvalue()
