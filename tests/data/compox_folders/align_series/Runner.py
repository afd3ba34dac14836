import json

import numpy as np
from compox.algorithm_utils.Image2AlignmentRunner import Image2AlignmentRunner


class Runner(Image2AlignmentRunner):
    def __init__(self):
        super().__init__()
        self.settings = None
        self.shifts = []

    def load_assets(self):
        self.settings = json.load(self.fetch_asset("files/settings.json"))

    def inference(self, data: np.ndarray, args: dict = {}) -> list:
        matrices = []
        for before, after in zip(data[:-1], data[1:]):
            dy, dx = self.shift(before, after)
            self.shifts.append((dy, dx))
            matrix = np.eye(3)
            matrix[:2, 2] = dx, dy
            matrices.append(matrix)
        self.log_message(f"Shifts: {self.shifts}")
        return matrices

    def shift(self, before, after):
        product = np.fft.fft2(after) * np.conj(np.fft.fft2(before))
        peak = np.fft.ifft2(product / (np.abs(product) + self.settings["floor"])).real
        where = np.unravel_index(np.argmax(peak), peak.shape)
        return [int(i - n) if i > n // 2 else int(i) for i, n in zip(where, peak.shape)]
