"""The walk through a lineage: which runs read what, which made what, and how far that is from where one began."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from workbench.models import DatasetRecord, RunRecord

if TYPE_CHECKING:
    from workbench.catalog import Catalog
    from workbench.storage.store import Store

MOST_NODES = 500
ELSEWHERE = "elsewhere"  # records of datasets whose arrays are not here
Kind = Literal["dataset", "run"]
Edge = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Found:
    """A dataset or run that was met."""

    id: str
    kind: Kind
    record: DatasetRecord | RunRecord | None  # None: deleted since
    is_here: bool = True  # False: only told of by a run that came with an algorithm; its arrays are elsewhere


class Walk:
    """What was met so far; the catalog is asked a few times for each step, however wide it is.

    Parameters
    ----------
    catalog : Catalog
    store : Store, optional
        Where records of datasets lie whose arrays are elsewhere.
    """

    def __init__(self, catalog: Catalog, store: Store | None) -> None:
        self._catalog = catalog
        self._store = store
        self.nodes: dict[str, Found] = {}
        self.edges: dict[
            Edge, None
        ] = {}  # from what was read to who read it, and from the run to what it made
        self.is_cut = False
        self._runs: dict[str, RunRecord] = {}  # that were looked up already
        self._read_by: dict[str, tuple[str, ...]] = {}  # deleted run -> what it read, as what it made tells

    def meet(self, kind: Kind, ids: Iterable[str]) -> list[Found]:
        """Take up what is new of these ids; return it."""
        new = [id for id in dict.fromkeys(ids) if id not in self.nodes]
        room = MOST_NODES - len(self.nodes)
        self.is_cut |= len(new) > room
        new = new[:room]
        known: Mapping[str, Any] = (
            self._catalog.get_datasets(new) if kind == "dataset" else self._records(new)
        )
        told = self._told(id for id in new if id not in known) if kind == "dataset" else {}
        found = [Found(id, kind, known.get(id) or told.get(id), id not in told) for id in new]
        self.nodes.update((node.id, node) for node in found)
        return found

    def go(self, front: Sequence[Found], sign: int, steps: int) -> None:
        """Walk upstream (-1) or downstream (1)."""
        for _ in range(steps):
            next_edges = self._up(front) if sign < 0 else self._down(front)
            self.edges.update(dict.fromkeys((a, b) if sign > 0 else (b, a) for a, b, _ in next_edges))
            front = []
            kinds: tuple[Kind, Kind] = ("run", "dataset")
            for kind in kinds:
                ids = [other for _, other, other_kind in next_edges if other_kind == kind]
                front += self.meet(kind, ids) if ids else []
        beyond = self._up(front) if sign < 0 else self._down(front)
        self.is_cut |= any(other not in self.nodes for _, other, _ in beyond)

    def parts_of(self, record: DatasetRecord | RunRecord) -> dict[str, str]:
        """Return the runs that computed the nodes of a pipeline's run, with the names of these."""
        if not isinstance(record, RunRecord):
            return {}
        runs = {node.run: node.name for node in record.nodes if node.run}
        origins = {
            run: known.reused_from for run, known in self._records(list(runs)).items() if known.reused_from
        }
        there = self._records(list(origins.values()))
        found: dict[str, str] = {}
        for run, name in runs.items():
            origin = origins.get(run, "")
            found.setdefault(origin if origin in there else run, name)
        return found

    def made_by(self, runs: Collection[str]) -> set[str]:
        """Return the datasets that were met and that any of these runs made."""
        made = {target for source, target in self.edges if source in runs and target in self.nodes}
        return {id for id in made if self.nodes[id].kind == "dataset"}

    def _records(self, ids: Sequence[str]) -> Mapping[str, RunRecord]:
        """Return the runs of these ids that are there."""
        asked = [id for id in ids if id not in self._runs]
        self._runs.update(self._catalog.get_runs(asked) if asked else {})
        return {id: self._runs[id] for id in ids if id in self._runs}

    def _told(self, ids: Iterable[str]) -> dict[str, DatasetRecord]:
        """Return the datasets that are known by what came with an algorithm."""
        keys = [f"{id}.json" for id in ids]
        texts = self._store.get_many(ELSEWHERE, keys) if keys and self._store is not None else []
        records = [DatasetRecord.model_validate_json(text) for text in texts if text is not None]
        return {record.id: record for record in records}

    def _up(self, front: Sequence[Found]) -> list[tuple[str, str, Kind]]:
        found: list[tuple[str, str, Kind]] = []
        for node in front:
            record = node.record
            if isinstance(record, RunRecord):
                found += [(node.id, source, "dataset") for source in read_directly(record)]
                found += [(node.id, source, "run") for source in record.sources]
            elif node.kind == "run":
                found += [(node.id, source, "dataset") for source in self._read_by.get(node.id, ())]
            elif record is not None and record.run_id is not None:
                self._read_by[record.run_id] = record.parents
                found.append((node.id, record.run_id, "run"))
            elif record is not None:
                found += [(node.id, source, "dataset") for source in record.parents]
        return found

    def _down(self, front: Sequence[Found]) -> list[tuple[str, str, Kind]]:
        found: list[tuple[str, str, Kind]] = []
        for node in front:
            if isinstance(node.record, RunRecord):
                found += [(node.id, o.dataset, "dataset") for o in node.record.outputs if o.dataset]
        given = [node.id for node in front]
        readers = self._catalog.readers(given, MOST_NODES + 1) if given else []
        records = self._records(list(dict.fromkeys(run for _, run in readers)))
        left_out = self._told_by_others(records)
        for source, run in readers:
            record = records.get(run)
            is_direct = record is None or source in record.sources or source in read_directly(record)
            if is_direct and run not in left_out:
                found.append((source, run, "run"))
        return found

    def _told_by_others(self, records: Mapping[str, RunRecord]) -> set[str]:
        """Return the runs that others tell all of: those of pipelines whose nodes are there, and of nodes that computed nothing."""
        met = {**{id: n.record for id, n in self.nodes.items() if isinstance(n.record, RunRecord)}, **records}
        origins: dict[str, str] = {}
        for id, record in met.items():
            is_first = id in self.nodes or record.reused_from is None
            if is_first or record.reused_from not in origins:
                origins[record.reused_from or id] = id
        left_out = set()
        for id, record in records.items():
            if id in self.nodes:
                continue
            is_node = record.pipeline is not None and record.reused_from is not None
            if (is_node and origins[record.reused_from or id] != id) or any(
                node.run in met for node in record.nodes
            ):
                left_out.add(id)
        return left_out


def read_directly(record: RunRecord) -> Sequence[str]:
    """Return the datasets that a run was given; ``inputs`` also has those that the plain values it read were computed from."""
    if not record.sources or not record.call:
        return record.inputs
    return [ref.dataset for ref in record.arguments if ref.dataset]


def steps_from(start: Collection[str], edges: Iterable[Edge]) -> dict[str, int]:
    """Return how many steps everything lies before the start (negative) or behind it, by the longest way.

    Where the start is several, they count from 0 on among themselves, with what lies between them, and what follows counts on from
    the last of them.
    """
    before: dict[str, list[str]] = {}
    after: dict[str, list[str]] = {}
    for source, target in edges:
        before.setdefault(target, []).append(source)
        after.setdefault(source, []).append(target)
    behind, ahead = _reached(start, after), _reached(start, before)
    between = {*start, *(behind & ahead)}
    within = _depths(between, before)
    last = max(within.values())
    up = _depths(ahead - between, after)
    down = _depths(behind - between, before)
    return {
        **{id: last + 1 + depth for id, depth in down.items()},
        **{id: -1 - depth for id, depth in up.items()},
        **within,
    }


def _reached(start: Collection[str], next_of: Mapping[str, Sequence[str]]) -> set[str]:
    """Return what can be reached from the start, without it."""
    found = set(start)
    front = list(found)
    while front:
        new = [other for other in next_of.get(front.pop(), ()) if other not in found]
        found.update(new)
        front += new
    return found - set(start)


def _depths(ids: Collection[str], next_of: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """Return the longest way from each of these ids through the others. A way that leads back to where it was counts as ended."""
    members, depths = set(ids), dict[str, int]()
    seen: set[str] = set()
    for root in ids:
        stack = [(root, False)]
        while stack:
            id, is_done = stack.pop()
            others = [other for other in next_of.get(id, ()) if other in members]
            if is_done:
                depths[id] = max((depths[other] + 1 for other in others if other in depths), default=0)
            elif id not in seen:
                seen.add(id)
                stack.append((id, True))
                stack += [(other, False) for other in others if other not in seen]
    return depths
