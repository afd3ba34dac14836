"""Describe textures by their power spectra."""

import numpy as np

from workbench.runners import Image2EmbeddingRunner


class Runner(Image2EmbeddingRunner):
    """Gives each image a vector of ``rings * sectors`` numbers."""

    def inference(self, data, args):
        """Describe every image of a stack.

        Parameters
        ----------
        data : ndarray, shape (n, H, W) or (n, 3, H, W), counts
            Of colour images the mean of the channels is used.

        Returns
        -------
        ndarray, shape (n, rings * sectors), float32
        """
        images = data.mean(axis=1) if data.ndim == 4 else data
        bands = band_of_each_frequency(images.shape[1:], args["rings"], args["sectors"])
        features = np.empty((len(images), args["rings"] * args["sectors"]), np.float32)
        for k, image in enumerate(images):
            self.set_progress(k / len(images), f"image {k + 1} of {len(images)}")
            features[k] = describe(image.astype(np.float64), bands, features.shape[1])
        self.log_message(f"{len(images)} images, {features.shape[1]} features each")
        return features


def band_of_each_frequency(shape, rings, sectors):
    """Number the band of every Fourier coefficient, shape (H, W); -1 outside one period per image to Nyquist."""
    y, x = np.meshgrid(np.fft.fftfreq(shape[0]), np.fft.fftfreq(shape[1]), indexing="ij")
    frequency = np.hypot(y, x)
    lowest = 1 / min(shape)
    octaves = np.log2(np.maximum(frequency, lowest) / lowest)
    ring = (octaves / np.log2(0.5 / lowest) * rings).clip(0, rings - 1).astype(int)
    sector = ((np.arctan2(y, x) / np.pi % 1) * sectors).astype(int) % sectors
    return np.where((frequency < lowest) | (frequency > 0.5), -1, ring * sectors + sector)


def describe(image, bands, n):
    """Return the log of the mean power in each band relative to the whole, shape (n,); blind to brightness and gain."""
    window = np.hanning(image.shape[0])[:, None] * np.hanning(image.shape[1])
    power = np.abs(np.fft.fft2((image - image.mean()) * window)) ** 2
    inside = bands >= 0
    total = np.bincount(bands[inside], power[inside], minlength=n)
    count = np.bincount(bands[inside], minlength=n)
    mean = total / np.maximum(count, 1)
    return np.log(np.maximum(mean, 1e-12) / max(mean.sum(), 1e-12))
