"""Four classical denoising filters for one 2-D image, and an estimate of its noise."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import ndimage

Step = Callable[[float], None]  # told the fraction done, 0..1; raises to stop the filter


def estimate_noise(image: np.ndarray) -> float:
    """Estimate the standard deviation of white noise from the finest diagonal differences of an image.

    Source: Donoho & Johnstone 1994, doi:10.1093/biomet/81.3.425 (median absolute deviation of wavelet details).
    """
    even = image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2]
    details = (even[::2, ::2] - even[1::2, ::2] - even[::2, 1::2] + even[1::2, 1::2]) / 2
    return float(np.median(np.abs(details)) / 0.6745)


def non_local_means(image: np.ndarray, noise: float, strength: float, radius: int, step: Step) -> np.ndarray:
    """Average each pixel with the pixels around it whose 5 x 5 neighbourhoods look alike.

    Parameters
    ----------
    image : ndarray, shape (H, W), float32, counts
    noise : float, counts
        Standard deviation of the noise; differences below it do not count.
    strength : float
        Width of the weight function in units of the noise.
    radius : int, px
        How far away to look; the time grows with its square.
    step : callable
        Called with the fraction done.

    Source: Buades, Coll & Morel 2005, doi:10.1109/CVPR.2005.38.
    """
    h, w = image.shape
    padded = np.pad(image, radius, mode="reflect")
    shifts = [(y, x) for y in range(2 * radius + 1) for x in range(2 * radius + 1)]
    total = np.zeros_like(image)
    weights = np.zeros_like(image)
    width = max(0.7 * strength * noise, 1e-12) ** 2
    for k, (y, x) in enumerate(shifts):
        shifted = padded[y : y + h, x : x + w]
        distance = ndimage.uniform_filter((image - shifted) ** 2, size=5, mode="reflect")
        weight = np.exp(-np.maximum(distance - 2 * noise**2, 0) / width)
        total += weight * shifted
        weights += weight
        step((k + 1) / len(shifts))
    return total / weights


def total_variation(
    image: np.ndarray, noise: float, strength: float, step: Step, iterations: int = 60
) -> np.ndarray:
    """Find the image of least total variation near this one: flat regions with sharp edges.

    Parameters
    ----------
    image : ndarray, shape (H, W), float32, counts
    noise : float, counts
    strength : float
        Weight of the variation in units of the noise.
    step : callable
        Called with the fraction done.
    iterations : int
        Steps of the fixed-point iteration.

    Source: Chambolle 2004, doi:10.1023/B:JMIV.0000011325.36760.1e, equation 9.
    """
    weight = max(0.8 * strength * noise, 1e-12)
    dual = np.zeros((2, *image.shape), image.dtype)
    result = image
    for k in range(iterations):
        gradient = np.zeros_like(dual)
        gradient[0, :-1] = np.diff(result, axis=0)
        gradient[1, :, :-1] = np.diff(result, axis=1)
        size = np.sqrt((gradient**2).sum(axis=0))
        dual = (dual - 0.25 / weight * gradient) / (1 + 0.25 / weight * size)
        divergence = -dual.sum(axis=0)
        divergence[1:] += dual[0, :-1]
        divergence[:, 1:] += dual[1, :, :-1]
        result = image + weight * divergence
        step((k + 1) / iterations)
    return result


def gaussian(image: np.ndarray, radius: int) -> np.ndarray:
    """Blur with a Gaussian of standard deviation ``radius`` pixels."""
    return ndimage.gaussian_filter(image, radius)


def median(image: np.ndarray, radius: int) -> np.ndarray:
    """Take the median of the square window that reaches ``radius`` pixels to each side."""
    return ndimage.median_filter(image, size=2 * radius + 1)
