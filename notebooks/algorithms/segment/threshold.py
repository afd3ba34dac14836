"""From one image to numbered objects: background, threshold, clean-up, labels."""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from skimage.feature import peak_local_max
from skimage.filters import threshold_li, threshold_otsu, threshold_triangle
from skimage.segmentation import watershed

METHODS = {"otsu": threshold_otsu, "li": threshold_li, "triangle": threshold_triangle}


def flatten(image: np.ndarray, radius: int) -> np.ndarray:
    """Subtract the background: a grey opening with a square window, smoothed (a white top-hat).

    Parameters
    ----------
    image : ndarray, shape (H, W), float32, counts
    radius : int, px
        Half the window; must exceed the largest object. 0 returns the image.
    """
    if radius == 0:
        return image
    background = ndimage.grey_opening(image, size=2 * radius + 1)
    return image - ndimage.gaussian_filter(background, radius / 2)


def find_objects(image: np.ndarray, level: float, min_area: int, fill_holes: bool, split: bool) -> np.ndarray:
    """Number the connected regions of an image that are brighter than ``level``.

    Returns
    -------
    ndarray, shape (H, W), int32
        0 for background, 1..n for the objects.
    """
    mask = image > level
    if fill_holes:
        mask = ndimage.binary_fill_holes(mask)
    labels, _ = ndimage.label(mask)
    if split:
        labels = split_touching(mask, labels)
    area = np.bincount(labels.ravel())
    keep = area >= min_area
    keep[0] = False
    return np.where(keep, np.cumsum(keep), 0)[labels].astype(np.int32)


def split_touching(mask: np.ndarray, regions: np.ndarray) -> np.ndarray:
    """Give touching round objects labels of their own, one per summit of the distance to the edge."""
    distance = ndimage.gaussian_filter(ndimage.distance_transform_edt(mask), 2)
    summits = peak_local_max(distance, min_distance=5, labels=regions)
    seeds = np.zeros(mask.shape, np.int32)
    seeds[tuple(summits.T)] = np.arange(1, len(summits) + 1)
    return watershed(-distance, seeds, mask=mask)
