import numpy as np
from compox.algorithm_utils.Image2ImageRunner import Image2ImageRunner


class Runner(Image2ImageRunner):
    def inference(self, data: np.ndarray, args: dict = {}) -> np.ndarray:
        weight = args.get("weight", 0.2)
        steps = args.get("iterations", 3)
        mode = {"reflect": "symmetric", "wrap": "wrap"}[args.get("edges", "reflect")]
        result = data.astype(np.float32)
        for step in range(steps):
            result = self.diffuse(result, weight, mode)
            self.set_progress((step + 1) / steps)
        if args.get("keep_range", True):
            result = np.clip(result, data.min(), data.max())
        return result

    @staticmethod
    def diffuse(stack, weight, mode):
        from stencils import laplacian

        return stack + weight * laplacian(stack, mode)
