"""What can be run: parameters, packages, the deploy gate, loading, and ``ws.algorithms``."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.algorithms.algorithm import Algorithm as Algorithm
    from workbench.algorithms.algorithms import Algorithms as Algorithms
    from workbench.algorithms.deploy import DeployPlan as DeployPlan
    from workbench.algorithms.parameters import Parameters as Parameters

_HOMES = {
    "Algorithm": "algorithm",
    "Algorithms": "algorithms",
    "DeployPlan": "deploy",
    "Parameters": "parameters",
}
__all__ = ["Algorithm", "Algorithms", "DeployPlan", "Parameters"]


def __getattr__(name: str) -> Any:
    # Loaded on first use: the clean process of the gate has no need of a catalog.
    if name in _HOMES:
        return getattr(import_module(f"workbench.algorithms.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
