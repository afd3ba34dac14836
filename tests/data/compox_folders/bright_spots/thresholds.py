import numpy as np


def between_classes(image, bins):
    """The grey value that parts the histogram into the two most distinct classes (Otsu 1979)."""
    counts, edges = np.histogram(image, bins=bins)
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)
    above = below[-1] - below
    total_below = np.cumsum(counts * centres)
    with np.errstate(divide="ignore", invalid="ignore"):
        gap = total_below / below - (total_below[-1] - total_below) / above
        spread = np.nan_to_num(below * above * gap**2)
    return edges[np.argmax(spread) + 1]
