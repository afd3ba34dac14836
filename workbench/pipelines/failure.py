"""Why a pipeline failed: its first node that did, and what that has cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from workbench.models import ErrorRecord, NodeRecord

if TYPE_CHECKING:
    from workbench.execution.runs import Runs

BAD = ("FAILED", "LOST", "CANCELLED")


def failure(
    nodes: Sequence[NodeRecord], runs: Runs, errors: Mapping[str, BaseException]
) -> tuple[ErrorRecord, BaseException | None]:
    """Return the error of a pipeline, and the exception behind it where this process has it.

    Parameters
    ----------
    nodes : sequence of NodeRecord
        At least one of them failed.
    runs : Runs
    errors : mapping
        What was raised, by node.
    """
    bad = [node for node in nodes if node.status in BAD]
    first = bad[0]
    cause = errors.get(first.name)
    of_run = runs.record(first.run).error if first.run else None
    message = of_run.message if of_run is not None else str(cause)
    parts = [message if message.endswith((".", "!", "?")) else f"{message}."]
    if bad[1:]:
        parts.append(f"Failed too: {', '.join(node.name for node in bad[1:])}.")
    skipped = [node.name for node in nodes if node.status == "SKIPPED"]
    if skipped:
        parts.append(f"Skipped: {', '.join(skipped)}.")
    error = ErrorRecord(
        type=of_run.type if of_run is not None else type(cause).__name__,
        message=" ".join(parts),
        phase=f"node {first.name!r}",
        traceback=of_run.traceback if of_run is not None else "",
        kind=of_run.kind if of_run is not None else getattr(cause, "kind", "run_failed"),
    )
    return error, cause
