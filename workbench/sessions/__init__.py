"""Sessions: what stays warm between cells, kernels and processes."""

from __future__ import annotations

from workbench.sessions.session import Session
from workbench.sessions.sessions import Sessions

__all__ = ["Session", "Sessions"]
