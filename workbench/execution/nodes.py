"""The nodes of a pipeline's run as a list that can be read, in a notebook too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, overload

from workbench.errors import NotFoundError, did_you_mean
from workbench.models import NodeRecord, RunStatus
from workbench.pages import html_table, text_table

SKIPPED = "SKIPPED"  # of a node that does not begin any more


def left_over(nodes: Sequence[NodeRecord], status: RunStatus) -> tuple[NodeRecord, ...]:
    """Return the nodes of a pipeline that ends without its conductor: what was under way, and what will not begin."""
    is_lost = status is RunStatus.LOST
    ends = {
        "RUNNING": {
            "status": status if is_lost else RunStatus.CANCELLED,
            "error": "its conductor is gone; how it ended, its own run says"
            if is_lost
            else "the pipeline was ended",
        },
        "PENDING": {"status": SKIPPED, "error": "the pipeline was ended"},
    }
    return tuple(
        node.model_copy(update={name: str(value) for name, value in ends.get(node.status, {}).items()})
        for node in nodes
    )


class Nodes(Sequence[NodeRecord]):
    """The nodes of a pipeline's run, each after those it reads from.

    Parameters
    ----------
    records : sequence of NodeRecord
    """

    def __init__(self, records: Sequence[NodeRecord]) -> None:
        self._records = tuple(records)

    @overload
    def __getitem__(self, which: int) -> NodeRecord: ...

    @overload
    def __getitem__(self, which: slice) -> Sequence[NodeRecord]: ...

    def __getitem__(self, which: Any) -> Any:
        return self._records[which]

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[NodeRecord]:
        return iter(self._records)

    def named(self, name: str) -> NodeRecord:
        """Return the node of a name.

        Raises
        ------
        NotFoundError
            With near names.
        """
        found = next((record for record in self._records if record.name == name), None)
        if found is None:
            names = [record.name for record in self._records]
            raise NotFoundError(
                f"There is no node {name!r}.{did_you_mean(name, names)} "
                f"{'There are: ' + ', '.join(names) if names else 'Only runs of pipelines have nodes'}."
            )
        return found

    def run_of(self, name: str, run_id: str) -> str:
        """Return the id of a node's run.

        Raises
        ------
        NotFoundError
            If there is no such node, or it was not started.
        """
        record = self.named(name)
        if not record.run:
            why = f": {record.error}" if record.error else ""
            raise NotFoundError(
                f"Node {name!r} of run {run_id} is {record.status} and has no run of its own{why}."
            )
        return record.run

    def rows(self) -> list[dict[str, Any]]:
        """Return one row for each node."""
        return [
            {
                "node": record.name,
                "does": f"{record.label} {record.version}".strip(),
                "status": f"{record.status}{' (reused)' if record.reused else ''}",
                "seconds": record.seconds,
                "run": record.run,
                "error": record.error.splitlines()[0] if record.error else "",
            }
            for record in self._records
        ]

    def __repr__(self) -> str:
        return text_table(self.rows(), "No nodes: this was no run of a pipeline.")

    def _repr_html_(self) -> str:
        return html_table(self.rows(), "No nodes: this was no run of a pipeline.")
