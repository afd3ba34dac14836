"""Measurements of labelled objects, as one table."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

COLUMNS = np.dtype(
    [
        ("image", np.int32),  # index of the input image, from 0
        ("label", np.int32),  # value in the mask
        ("area_px", np.int64),
        ("area_um2", np.float64),
        ("y_px", np.float64),  # centre of area, pixel centres at whole numbers
        ("x_px", np.float64),
        ("mean_counts", np.float64),  # in the image as it was given
    ]
)


def measure(labels: np.ndarray, image: np.ndarray, index: int, pixel_size: float) -> np.ndarray:
    """Measure each object of one image.

    Parameters
    ----------
    labels : ndarray, shape (H, W), int32
        0 for background, 1..n for the objects.
    image : ndarray, shape (H, W), counts
    index : int
        Written into the column ``image``.
    pixel_size : float, µm

    Returns
    -------
    structured ndarray, shape (n,), dtype ``COLUMNS``
        Reads well as ``pandas.DataFrame(table)``.
    """
    numbers = np.arange(1, labels.max() + 1)
    table = np.zeros(len(numbers), COLUMNS)
    table["image"] = index
    table["label"] = numbers
    table["area_px"] = np.bincount(labels.ravel(), minlength=len(numbers) + 1)[1:]
    table["area_um2"] = table["area_px"] * pixel_size**2
    if len(numbers):
        centres = ndimage.center_of_mass(labels > 0, labels, numbers)
        table["y_px"], table["x_px"] = np.transpose(centres)
        table["mean_counts"] = ndimage.mean(image, labels, numbers)
    return table
