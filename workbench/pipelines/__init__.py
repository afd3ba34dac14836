"""Pipelines: algorithms, functions and steps wired into a graph that runs as one."""

from __future__ import annotations

from workbench.pipelines.node import PIPELINE_INPUT, PIPELINE_OUTPUT, Node
from workbench.pipelines.pipeline import Pipeline

__all__ = ["PIPELINE_INPUT", "PIPELINE_OUTPUT", "Node", "Pipeline"]
