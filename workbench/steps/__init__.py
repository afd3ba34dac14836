"""Steps of pipelines: what is done to data, with a version; some are trained and can be kept as bytes."""

from __future__ import annotations

from workbench.steps.json_step import JsonStep
from workbench.steps.ml import MLStep, Mode
from workbench.steps.sklearn_step import SklearnStep
from workbench.steps.step import LoadableStep, Step, StepCallback
from workbench.steps.torch_step import TorchStep

__all__ = [
    "JsonStep",
    "LoadableStep",
    "MLStep",
    "Mode",
    "SklearnStep",
    "Step",
    "StepCallback",
    "TorchStep",
]
