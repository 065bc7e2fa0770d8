"""The synthetic images that a run hands over once its training has ended.

The worker samples and writes them, when nothing it draws can reach the student any more. The judge reads them as
hostile input, for figures and for a sheet to look at.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import save
from torch import Tensor

from dfkdbench.errors import IntegrityError
from dfkdbench.files import read_no_follow, sha256_of
from dfkdbench.plan import InputSpec
from dfkdbench.seams import Generator
from dfkdbench.weights import parse_weights

MOST_IMAGES = 512
MOST_BYTES = 1 << 26
_HEADER_BYTES = 1 << 12
_TYPE = torch.float16


class HandedOver(NamedTuple):
    """Images as the worker handed them over.

    Attributes:
        images: (N, C, H, W) float16 in the teacher's input space, on the CPU. Any value may be infinite or NaN.
        data: The bytes of their file.
    """

    images: Tensor
    data: bytes

    @property
    def sha256(self) -> str:
        """Hash of the file."""
        return sha256_of(self.data)


def shape_of(spec: InputSpec) -> tuple[int, int, int, int]:
    """What is handed over of images of an input: 512 of them, fewer where those would have more than 64 MiB."""
    image = (spec.channels, spec.image_size, spec.image_size)
    return (max(2, min(MOST_IMAGES, MOST_BYTES // (math.prod(image) * _TYPE.itemsize))), *image)


def sample_images(generator: Generator, spec: InputSpec, batch_size: int) -> bytes:
    """A safetensors file of fresh images, drawn in batches of the size that student steps draw."""
    count, *_ = shape_of(spec)
    batches = [generator.sample(batch_size).images.to("cpu", _TYPE) for _ in range(math.ceil(count / batch_size))]
    return save({"images": torch.cat(batches)[:count].contiguous()})


def read_images(path: Path, spec: InputSpec) -> HandedOver:
    """The images in a file of `sample_images`.

    Raises:
        IntegrityError: The file is missing, a link, too large, or holds anything but images of this number, shape and
            type.
    """
    shape = shape_of(spec)
    data = read_no_follow(path, limit=math.prod(shape) * _TYPE.itemsize + _HEADER_BYTES)
    tensors = parse_weights(data, path.name)
    if tensors.keys() != {"images"}:
        raise IntegrityError(f"{path.name} holds {len(tensors)} tensors, expected one called 'images'.")
    images = tensors["images"]
    if images.shape != shape or images.dtype != _TYPE:
        raise IntegrityError(
            f"{path.name} holds {images.dtype} images of shape {tuple(images.shape)}, "
            f"expected {_TYPE} of shape {shape}."
        )
    return HandedOver(images, data)
