"""The run host: what it is doing, and its end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from workbench.errors import (
    ConflictError,
)

if TYPE_CHECKING:
    from workbench.workspace import Workspace


def host_status(workspace: Workspace) -> dict[str, Any] | None:
    """Return what the run host of a workspace is doing, or None if there is none."""
    from workbench.execution.process_executor import ProcessExecutor

    executor = workspace.executor("process")
    return executor.client.status() if isinstance(executor, ProcessExecutor) else None


def host_text(status: Mapping[str, Any] | None) -> str:
    """Return the state of a run host as text.

    >>> host_text(None)
    'No run host; the first background run starts one.'
    """
    if status is None:
        return "No run host; the first background run starts one."
    lines = [
        f"Run host {status['pid']}: {len(status['running'])} running, {status['queued']} waiting, "
        f"{status['completed']} ended; {status['clients']} connected; {status['rss'] / 1e6:.0f} MB"
    ]
    for worker in status["workers"]:
        doing = f"runs {worker['run']}" if worker["run"] else f"idle, {worker['warm']} loaded"
        lines.append(f"  worker {worker['pid']}: {doing}, {worker['rss'] / 1e6:.0f} MB")
    return "\n".join(lines)


def stop_host(workspace: Workspace, *, force: bool = False) -> str:
    """End the run host of a workspace and say what came of it.

    Raises
    ------
    ConflictError
        If it has runs and ``force`` is not given.
    """
    from workbench.execution.process_executor import ProcessExecutor

    executor = workspace.executor("process")
    answer = executor.client.stop(force=force) if isinstance(executor, ProcessExecutor) else None
    if answer is None:
        return "There is no run host."
    if not answer["stopping"]:
        raise ConflictError(
            f"The run host still has {_runs(answer['active'])}. Wait, or end it all: workbench host stop --force."
        )
    return "The run host has ended." if not answer["active"] else f"Ended, with {_runs(answer['active'])}."


def _runs(count: int) -> str:
    return f"{count} run{'' if count == 1 else 's'}"
