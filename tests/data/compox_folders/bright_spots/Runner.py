import numpy as np
from compox.algorithm_utils.Image2SegmentationRunner import Image2SegmentationRunner

from thresholds import between_classes


class Runner(Image2SegmentationRunner):
    """Masks bright spots."""

    def load_assets(self):
        self.bins = 256

    def inference(self, data: np.ndarray, args: dict = {}) -> np.ndarray:
        masks = np.zeros(data.shape, dtype=np.uint8)
        for i, image in enumerate(data):
            limit = between_classes(image, self.bins)
            self.log_message(f"Slice {i}: threshold {limit:.1f}")
            masks[i] = image > limit
            self.set_progress((i + 1) / len(data))
        return masks
