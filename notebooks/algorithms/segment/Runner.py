"""Threshold a stack of images, number the objects, measure them."""

import numpy as np
from measure import measure
from scipy.ndimage import gaussian_filter
from threshold import METHODS, find_objects, flatten

from workbench.runners import BaseRunner, Image2SegmentationRunner
from workbench.schemas import GenericSchema


class Runner(Image2SegmentationRunner):
    """Finds bright objects in each image; outputs one mask per image and then one table of measurements."""

    def inference(self, data, args):
        """Label and measure a stack.

        Parameters
        ----------
        data : ndarray, shape (n, H, W) or (n, 3, H, W), counts
            Of colour images the mean of the channels is used.

        Returns
        -------
        ndarray, shape (n, H, W), int32
        """
        images = data.mean(axis=1) if data.ndim == 4 else data
        masks = np.zeros(images.shape, np.int32)
        tables = []
        for k, image in enumerate(images):
            self.set_progress(k / len(images), f"image {k + 1} of {len(images)}")
            flat = flatten(image.astype(np.float32), args["background_radius"])
            flat = gaussian_filter(flat, args["smooth"])
            level = args["level"] if args["method"] == "manual" else METHODS[args["method"]](flat)
            masks[k] = find_objects(flat, level, args["min_area"], args["fill_holes"], args["split_touching"])
            tables.append(measure(masks[k], image, k, args["pixel_size"]))
            self.log_message(
                f"image {k + 1} of {len(images)}: threshold {level:.4g} counts, {len(tables[-1])} objects"
            )
        self.table = np.concatenate(tables)
        return masks

    def postprocess(self, data, args):
        """Store the masks, then the table as a generic dataset."""
        masks = super().postprocess(data, args)
        return masks + BaseRunner.post_data(self, [{"data": self.table}], GenericSchema)
