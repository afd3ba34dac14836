"""The versions of steps, their bytes, and which of them worked together: ``ws.links`` and ``ws.pipelines``."""

from __future__ import annotations

from workbench.links.links import Links
from workbench.links.saved_pipelines import SavedPipelines
from workbench.links.step_version import StepVersion

__all__ = ["Links", "SavedPipelines", "StepVersion"]
