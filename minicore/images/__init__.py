"""Images: files or arrays in, float32 batches (n, 3, h, w) out; masks on the same grid."""

from minicore.images.batching import batches
from minicore.images.decode import image_size, read_image
from minicore.images.listing import list_images
from minicore.images.preprocess import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    ImageLike,
    Override,
    Preprocessing,
    Size,
    as_images,
    output_size,
    prepare,
    read_mask,
    view,
)

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "ImageLike",
    "Override",
    "Preprocessing",
    "Size",
    "as_images",
    "batches",
    "image_size",
    "list_images",
    "output_size",
    "prepare",
    "read_image",
    "read_mask",
    "view",
]
