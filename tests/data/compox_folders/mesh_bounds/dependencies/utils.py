from .corners import lower, upper

import numpy as np

NAME = "bounds"


def bounds(vertices):
    return np.stack([lower(vertices), upper(vertices)])
