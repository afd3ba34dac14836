import numpy as np

NAME = "projection"


def project(volume, how):
    return getattr(np, how)(volume, axis=0)
