"""A pipeline that is computed again, and how its nodes compare with those of the first time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workbench.errors import NotFoundError, did_you_mean
from workbench.execution.nodes import SKIPPED
from workbench.execution.replay import Replay, compare_outputs, differs_by
from workbench.execution.sameness import (
    CLOSE,
    DIFFERENT,
    NOT_COMPARED,
    NOT_REPLAYED,
    Match,
    worst,
)
from workbench.models import NodeRecord, RunRecord, RunStatus
from workbench.pipelines.kept_code import held_otherwise
from workbench.pipelines.plan import Code, Plan

if TYPE_CHECKING:
    from workbench.algorithms import Algorithms
    from workbench.execution.run import Run
    from workbench.execution.runs import Runs
    from workbench.library.datasets import Datasets
    from workbench.storage.store import Store


@dataclass(frozen=True, slots=True)
class NodeReplay:
    """How a node of a pipeline compares with the first time.

    Parameters
    ----------
    name : str
        Its path.
    original, run : str
        Ids of the run that had computed it, and of the new one; empty where there is none.
    verdict : str
        ``identical``, ``within tolerance``, ``different``, ``gone``, ``not compared``, or ``not replayed``.
    matches : sequence of (str, str, Match)
        For each output and key how it compares.
    text : str
        Why it could not be computed again, or how that has ended.
    """

    name: str
    original: str
    run: str
    verdict: str
    matches: Sequence[tuple[str, str, Match]] = ()
    text: str = ""

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per output and key, or one for the whole node."""
        found = [(output, key, m.verdict, m.text) for output, key, m in self.matches]
        return [
            {"node": self.name, "output": output, "key": key, "verdict": verdict, "difference": text}
            for output, key, verdict, text in found or [("", "", self.verdict, self.text)]
        ]


@dataclass(frozen=True, slots=True, repr=False)
class PipelineReplay(Replay):
    """A run of a pipeline computed again; shows itself as text and as HTML.

    Parameters
    ----------
    nodes : sequence of NodeReplay
        Each after those it reads from.
    """

    nodes: Sequence[NodeReplay] = ()

    @property
    def verdict(self) -> str:
        """The worst of all nodes; a node that could not be computed again is ``not replayed``."""
        return worst(node.verdict for node in self.nodes)

    def node(self, name: str) -> NodeReplay:
        """Return how a node compares.

        Raises
        ------
        NotFoundError
            With near names.
        """
        for node in self.nodes:
            if node.name == name:
                return node
        names = [node.name for node in self.nodes]
        raise NotFoundError(
            f"There is no node {name!r}.{did_you_mean(name, names)} There are: {', '.join(names)}."
        )

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per node, output and key."""
        return [row for node in self.nodes for row in node.rows()]

    def _head(self) -> str:
        count = Counter(node.verdict for node in self.nodes)
        told = ", ".join(f"{number} {verdict}" for verdict, number in count.most_common())
        ended = "" if self.run.status is RunStatus.COMPLETED else f" It is {self.run.status}."
        return (
            f"Run {self.original.id} of pipeline {self.original.algorithm!r}, computed again as {self.run.id}: {self.verdict}. "
            f"Of {len(self.nodes)} node{'' if len(self.nodes) == 1 else 's'}: {told}.{ended}"
        )


def compare_nodes(
    original: Run,
    run: Run,
    plan: Plan,
    runs: Runs,
    datasets: Datasets,
    algorithms: Algorithms,
    rtol: float,
    atol: float,
    notes: Sequence[str],
    store: Store,
) -> PipelineReplay:
    """Return how the nodes of a pipeline that was computed again compare with the first time."""
    found: dict[str, NodeReplay] = {}
    told: list[str] = []
    for node in run.nodes:
        code = plan.code[node.name]
        new = runs.record(node.run) if node.run and not code.why_not else None
        found[node.name] = compared = _compared(node, code, new, datasets, rtol, atol)
        before = {found[step].verdict for step, _ in node.sources if step}
        # what follows from a difference needs no reason of its own
        if compared.verdict in (DIFFERENT, CLOSE) and not before & {DIFFERENT, CLOSE} and new is not None:
            assert code.replays is not None
            what = plan.graph.steps[node.name].node.what
            reasons = [
                *differs_by(code.replays, new, runs, algorithms),
                *held_otherwise(code.kept, what, store),
            ]
            told.append(f"Differences are first seen at node {node.name!r}. {' '.join(reasons)}".rstrip())
    if any(node.verdict == NOT_REPLAYED for node in found.values()):
        told.append("What reads from a node that was not replayed was given what was recorded of it.")
    if any(m.verdict == NOT_COMPARED for node in found.values() for _, _, m in node.matches):
        told.append("Objects that are kept nowhere were computed again, and cannot be compared.")
    matches = [(i, key, m) for i, n in enumerate(found.values()) for _, key, m in n.matches]
    return PipelineReplay(original, run, matches, (*notes, *told), tuple(found.values()))


def _compared(
    node: NodeRecord, code: Code, new: RunRecord | None, datasets: Datasets, rtol: float, atol: float
) -> NodeReplay:
    first = code.replays
    original = "" if first is None else first.id
    if code.why_not or node.status == SKIPPED:
        return NodeReplay(node.name, original, "", NOT_REPLAYED, text=code.why_not or node.error)
    if node.status != RunStatus.COMPLETED or first is None or new is None:
        text = f"{node.status}: {node.error}".rstrip(": ")
        return NodeReplay(node.name, original, node.run, DIFFERENT, text=text)
    matches = compare_outputs(first, new, datasets, rtol, atol)
    is_named = len({ref.name for ref in first.outputs}) == len(first.outputs) == len(node.outputs)
    named = [(node.outputs[i] if is_named else str(i), key, match) for i, key, match in matches]
    return NodeReplay(node.name, original, new.id, worst(m.verdict for _, _, m in matches), named)
