"""What can be run: parameters, packages, the deploy gate, loading, and ``ws.algorithms``."""

from workbench.algorithms.algorithm import Algorithm
from workbench.algorithms.algorithms import Algorithms
from workbench.algorithms.deploy import DeployPlan
from workbench.algorithms.parameters import Parameters

__all__ = ["Algorithm", "Algorithms", "DeployPlan", "Parameters"]
