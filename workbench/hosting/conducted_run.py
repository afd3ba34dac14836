"""A pipeline inside a worker, which conducts it: it goes on when the kernel ends."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from workbench.execution.nodes import left_over
from workbench.hosting.background_run import BackgroundRun
from workbench.models import RunStatus
from workbench.pipelines.live import NodesRun

if TYPE_CHECKING:
    from workbench.workspace import Workspace


class ConductedRun(NodesRun, BackgroundRun):
    """The run of a pipeline in a worker. How its nodes stand reaches those that watch it with its record, by the `Reporter`."""

    def fail(self, error: Exception) -> None:
        self.change(nodes=left_over(self.record.nodes, RunStatus.FAILED))
        super().fail(error)


def conduct(live: ConductedRun, workspace: Workspace, path: Path) -> None:
    """Conduct the pipeline that lies at a path; its nodes are given to the host as by any other process.

    Raises
    ------
    KeyboardInterrupt
        After an interrupt; the run is CANCELLED.
    """
    workspace.services().environment.adopt(live.record.environment)
    try:
        workspace.pipelines.conduct(live, path)
    except Exception as error:
        if not live.is_active:
            raise
        live.fail(error)  # it could not be read, or an algorithm is gone
