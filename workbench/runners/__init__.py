"""What an algorithm's ``Runner`` class derives from."""

from __future__ import annotations

from workbench.runners.base import BaseRunner
from workbench.runners.context import LoadContext, RunnerContext
from workbench.runners.lifecycle import for_run, load, restore, run_values
from workbench.runners.typed import (
    Image2AlignmentRunner,
    Image2EmbeddingRunner,
    Image2ImageRunner,
    Image2SegmentationRunner,
    Segmentation2SegmentationRunner,
)

__all__ = [
    "BaseRunner",
    "Image2AlignmentRunner",
    "Image2EmbeddingRunner",
    "Image2ImageRunner",
    "Image2SegmentationRunner",
    "LoadContext",
    "RunnerContext",
    "Segmentation2SegmentationRunner",
    "for_run",
    "load",
    "restore",
    "run_values",
]
