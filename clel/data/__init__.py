"""Data sets by name, as uint8 images in memory; and any images to be measured, in chunks."""

from clel.data.images import DataError, Images, ImageSpec, batch_indices, to_float, to_uint8
from clel.data.registry import load
from clel.data.samples import Samples, open_samples

__all__ = [
    "DataError",
    "ImageSpec",
    "Images",
    "Samples",
    "batch_indices",
    "load",
    "open_samples",
    "to_float",
    "to_uint8",
]
