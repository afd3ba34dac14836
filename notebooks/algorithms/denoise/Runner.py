"""Denoise a stack of images, slice by slice."""

import numpy as np
from filters import estimate_noise, gaussian, median, non_local_means, total_variation

from workbench.runners import Image2ImageRunner


class Runner(Image2ImageRunner):
    """Removes noise from each image, or from each channel of a colour image."""

    def inference(self, data, args):
        """Denoise a stack.

        Parameters
        ----------
        data : ndarray, shape (n, H, W) or (n, 3, H, W), counts

        Returns
        -------
        ndarray of the same shape; float32, or the input's type with ``keep_dtype``
        """
        planes = data.reshape(-1, *data.shape[-2:])
        result = np.empty(planes.shape, np.float32)
        for k, plane in enumerate(planes):
            result[k] = self.denoise(plane.astype(np.float32), k, len(planes), args)
        result = result.reshape(data.shape)
        if args["keep_dtype"] and np.issubdtype(data.dtype, np.integer):
            limits = np.iinfo(data.dtype)
            result = np.rint(result).clip(limits.min, limits.max)
        return result.astype(data.dtype) if args["keep_dtype"] else result

    def denoise(self, plane, k, n, args):
        """Denoise plane k of n; each progress call is also where a cancel takes effect."""
        method, radius, strength = args["method"], args["radius"], args["strength"]

        def step(fraction):
            self.set_progress((k + fraction) / n, f"image {k + 1} of {n}")

        step(0.0)
        if method == "gaussian":
            return gaussian(plane, radius)
        if method == "median":
            return median(plane, radius)
        noise = estimate_noise(plane) if args["noise"] is None else args["noise"]
        self.log_message(f"image {k + 1} of {n}: {method}, noise {noise:.3g} counts")
        if method == "total variation":
            return total_variation(plane, noise, strength, step)
        return non_local_means(plane, noise, strength, radius, step)
