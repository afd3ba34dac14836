"""The shift between two images, by phase correlation."""

from __future__ import annotations

import numpy as np


def spectrum(image: np.ndarray, window: bool) -> np.ndarray:
    """Return the Fourier transform of an image without its mean, its edges faded by a Hann window if wanted.

    Parameters
    ----------
    image : ndarray, shape (H, W), counts
    window : bool

    Returns
    -------
    ndarray, shape (H, W), complex128
    """
    image = image - image.mean()
    if window:
        image = image * np.hanning(image.shape[0])[:, None] * np.hanning(image.shape[1])
    return np.fft.fft2(image)


def find_shift(fixed: np.ndarray, moving: np.ndarray, upsampling: int) -> np.ndarray:
    """Find by how much an image must be moved to lie on another.

    The peak of the phase correlation gives whole pixels; a matrix-product Fourier transform of the 3 x 3 pixels around
    it then gives fractions, without an enlarged transform of the whole image.

    Parameters
    ----------
    fixed, moving : ndarray, shape (H, W), complex128
        Spectra of the two images.
    upsampling : int
        Parts into which a pixel is divided.

    Returns
    -------
    ndarray, shape (2,), float64, px
        (y, x) to add to positions in the moving image.

    Source: Guizar-Sicairos, Thurman & Fienup 2008, doi:10.1364/OL.33.000156.
    """
    cross = fixed * moving.conj()
    cross /= np.maximum(
        np.sqrt(np.abs(cross)), 1e-12
    )  # half-whitened: sharp peak, yet noise does not take over
    correlation = np.fft.ifft2(cross).real
    peak = np.unravel_index(correlation.argmax(), correlation.shape)
    shape = np.array(correlation.shape)
    shift = (np.array(peak) + shape // 2) % shape - shape // 2
    if upsampling == 1:
        return shift.astype(np.float64)
    reach = 3 * upsampling // 2
    fine = np.arange(-reach, reach + 1) / upsampling
    waves = [
        np.exp(2j * np.pi * np.outer(center + fine, np.fft.fftfreq(n)))
        for center, n in zip(shift, correlation.shape, strict=True)
    ]
    patch = (waves[0] @ cross @ waves[1].T).real
    best = np.unravel_index(patch.argmax(), patch.shape)
    return shift + fine[list(best)]


def translation(shift: np.ndarray) -> np.ndarray:
    """Return the 3 x 3 matrix that moves a point (x, y, 1) by the shift (y, x), px."""
    matrix = np.eye(3)
    matrix[:2, 2] = shift[::-1]
    return matrix
