"""Register the slices of a stack by phase correlation."""

import numpy as np
from shifts import find_shift, spectrum, translation

from workbench.runners import Image2AlignmentRunner


class Runner(Image2AlignmentRunner):
    """Finds translations between slices; n slices give n-1 matrices."""

    def inference(self, data, args):
        """Find the shift of every slice after the first.

        Parameters
        ----------
        data : ndarray, shape (n, H, W) or (n, 3, H, W), counts
            Of colour images the mean of the channels is used.

        Returns
        -------
        list of n-1 ndarrays, shape (3, 3), float64, px
            Matrix k maps a point (x, y, 1) of slice k+1 to the same point in slice k, or in slice 0 with
            ``onto="first"``.
        """
        images = data.mean(axis=1) if data.ndim == 4 else data
        if len(images) < 2:
            raise ValueError(
                f"Registration needs at least 2 slices, got {len(images)}. Pass a stack (n, H, W)."
            )
        fixed = spectrum(images[0], args["window"])
        matrices = []
        for k, image in enumerate(images[1:], start=1):
            moving = spectrum(image, args["window"])
            shift = find_shift(fixed, moving, args["upsampling"])
            matrices.append(translation(shift))
            self.report(k, len(images), shift, args["max_shift"])
            if args["onto"] == "previous":
                fixed = moving
        return matrices

    def report(self, k, n, shift, max_shift):
        """Log one shift and move the progress on."""
        level = "WARNING" if np.hypot(*shift) > max_shift else "INFO"
        self.log_message(f"slice {k}: shift y {shift[0]:+.2f} px, x {shift[1]:+.2f} px", level)
        self.set_progress(k / (n - 1), f"slice {k} of {n - 1}")
