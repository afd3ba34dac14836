import numpy as np


def laplacian(stack, mode):
    """Sum of the four neighbours minus four times the pixel, for (n, H, W)."""
    padded = np.pad(stack, ((0, 0), (1, 1), (1, 1)), mode=mode)
    centre = padded[:, 1:-1, 1:-1]
    return padded[:, :-2, 1:-1] + padded[:, 2:, 1:-1] + padded[:, 1:-1, :-2] + padded[:, 1:-1, 2:] - 4 * centre
