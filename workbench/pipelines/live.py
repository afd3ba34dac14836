"""The run of a pipeline while it lives: it knows how its nodes stand."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from workbench.execution.kept_run import KeptRun
from workbench.execution.live import SAVE_PROGRESS_S, LiveRun
from workbench.execution.progress import Throttle
from workbench.models import NodeRecord, RunRecord, RunStatus

if TYPE_CHECKING:
    from workbench.execution.runs import Runs


class NodesRun(LiveRun):
    """The run of a pipeline in the process that conducts it. How its nodes stand is told as progress, and kept a few times a second."""

    def __init__(self, record: RunRecord, runs: Runs, *args: Any, **options: Any) -> None:
        super().__init__(record, runs, *args, **options)
        self.held: dict[str, Any] = {}  # what it gave, as this process has it
        self.cancel_nodes: Callable[[], None] = lambda: None
        self._nodes = {node.name: node for node in record.nodes}
        self._save_nodes = Throttle(SAVE_PROGRESS_S)
        self._save_nodes.ready()  # what has just begun was saved with its state

    def node(self, path: str) -> NodeRecord:
        """Return how a node stands."""
        return self._nodes[path]

    def set_node(self, path: str, fraction: float, **changes: Any) -> None:
        """Note how a node stands, and how far the whole is."""
        with self._lock:
            if not self.is_active:
                return
            self._nodes[path] = self._nodes[path].model_copy(update=changes)
            self.record = self.record.model_copy(update={"nodes": tuple(self._nodes.values())})
            self._fraction = max(self._fraction, fraction)
            running = [node.name for node in self._nodes.values() if node.status == RunStatus.RUNNING]
            if running:
                self._message = ", ".join(running[:3]) + (" …" if len(running) > 3 else "")
            self._sign()
            if self._save_nodes.ready():
                self._save(to_store=False)
        self._emit("progress")

    def request_cancel(self) -> None:
        """Ask the run to end: no more nodes begin, those that run are cancelled."""
        super().request_cancel()
        self.cancel_nodes()


class PipelineRun(NodesRun, KeptRun):
    """The run of a pipeline that the kernel conducts, which files it with the runs of its nodes."""
