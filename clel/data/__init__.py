"""Data sets by name, as uint8 images in memory."""

from clel.data.images import DataError, Images, ImageSpec, batch_indices, to_float, to_uint8
from clel.data.registry import load

__all__ = ["DataError", "ImageSpec", "Images", "batch_indices", "load", "to_float", "to_uint8"]
