"""What scientists keep: datasets, their import and export, and how they look."""

from workbench.library.dataset import Dataset
from workbench.library.datasets import Datasets

__all__ = ["Dataset", "Datasets"]
