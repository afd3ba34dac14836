"""Colours and fonts of everything that shows itself as HTML: Jupyter's own, so that light and dark themes both fit."""

from __future__ import annotations

from workbench.models import RunStatus

#: Jupyter's CSS variables with values for front ends that have none
TEXT = "var(--jp-ui-font-color1, #212121)"
MUTED = "var(--jp-ui-font-color2, #616161)"
LINE = "var(--jp-border-color2, #c8c8c8)"
ERROR = "var(--jp-error-color1, #d32f2f)"
ACCENT = "var(--jp-brand-color1, #1976d2)"
COLORS: dict[RunStatus, str] = {
    RunStatus.PENDING: "var(--jp-inverse-layout-color3, #757575)",
    RunStatus.STARTED: ACCENT,
    RunStatus.RUNNING: ACCENT,
    RunStatus.COMPLETED: "var(--jp-success-color0, #1b7e2b)",
    RunStatus.FAILED: ERROR,
    RunStatus.CANCELLED: "var(--jp-warn-color0, #b26a00)",
    RunStatus.LOST: ERROR,
}
MONO = "var(--jp-code-font-family, monospace)"
