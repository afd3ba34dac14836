"""Lineage: what a dataset or run was made from, and what was made from it, as far as it goes."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from workbench.errors import AlreadyExistsError, InvalidInputError, NotFoundError, UnsupportedError
from workbench.models import DatasetRecord, RunRecord
from workbench.pages import text_table

if TYPE_CHECKING:
    from workbench.catalog import Catalog
    from workbench.storage.store import Store

MOST_NODES = 500
ELSEWHERE = "elsewhere"  # records of datasets whose arrays are not here
Direction = Literal["both", "up", "down"]


@dataclass(frozen=True, slots=True)
class Node:
    """A dataset or run of a lineage. ``step`` counts from the one that was asked for: negative is upstream."""

    id: str
    kind: Literal["dataset", "run"]
    step: int
    record: DatasetRecord | RunRecord | None  # None: deleted since
    is_here: bool = True  # False: only told of by a run that came with an algorithm; its arrays are elsewhere

    @property
    def label(self) -> str:
        """What people call it: the name of a dataset, the algorithm of a run."""
        if self.record is None:
            return "deleted since"
        if isinstance(self.record, RunRecord):
            return self.record.algorithm
        name = self.record.name or ", ".join(self.record.keys)
        return name if self.is_here else f"{name} (elsewhere)"

    @property
    def detail(self) -> str:
        """What it was run with, or where it came from."""
        if isinstance(self.record, RunRecord):
            return ", ".join(f"{name}={value}" for name, value in self.record.parameters.items())
        return (self.record.source or "") if self.record is not None else ""


@dataclass(frozen=True, slots=True)
class Lineage:
    """Datasets and runs with what was made from what; shows itself as a table, and as a graph in a notebook.

    Parameters
    ----------
    id : str
        What it is the lineage of.
    nodes : dict
        By id, upstream first.
    edges : sequence of (str, str)
        From what was read to who read it, and from the run to what it made.
    is_cut : bool
        There is more than was asked for.
    place : (Store, Catalog), optional
        Where the files are.
    """

    id: str
    nodes: dict[str, Node]
    edges: Sequence[tuple[str, str]]
    is_cut: bool = False
    place: tuple[Store, Catalog] | None = field(default=None, repr=False, compare=False)

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per dataset and run, upstream first."""
        sources: dict[str, list[str]] = {}
        for source, target in self.edges:
            sources.setdefault(target, []).append(source)
        return [
            {
                "step": node.step,
                "what": node.kind,
                "id": node.id,
                "name": node.label,
                "with": node.detail,
                "from": sources.get(node.id, []),
            }
            for node in self.nodes.values()
        ]

    def prov(self) -> str:
        """Return it as W3C PROV, in JSON; needs the package prov."""
        from workbench.library.provenance import prov_json

        return prov_json(self)

    def export(self, path: str | Path, *, overwrite: bool = False, license: str = "not stated") -> Path:
        """Write it: ``.json`` is W3C PROV, ``.svg`` the graph, ``.zip`` or a folder an RO-Crate with all files.

        Parameters
        ----------
        path : path
        overwrite : bool
            Replace a file that is there.
        license : str
            Of an RO-Crate: a text, or the URL of a licence.

        Raises
        ------
        UnsupportedError
            For another suffix.
        AlreadyExistsError
            If there is such a file and ``overwrite`` is not given, or the folder is not empty.
        MissingPackageError
            For PROV and RO-Crate, if the package prov or rocrate is not installed.
        """
        from workbench.library.lineage_svg import drawing

        target = Path(path)
        if target.suffix == ".zip" or target.is_dir() or not target.suffix:
            from workbench.library.crate import write_crate

            write_crate(self, target, license, overwrite=overwrite)
            return target
        writers: dict[str, Callable[[], str]] = {".json": self.prov, ".svg": lambda: drawing(self)}
        if target.suffix not in writers:
            raise UnsupportedError(
                f"{target.name!r}: a lineage is written as .json (W3C PROV), .svg (the graph), .zip or a folder (RO-Crate)."
            )
        text = writers[target.suffix]()
        try:
            with target.open("w" if overwrite else "x", encoding="utf-8") as file:
                file.write(text)
        except FileExistsError:
            raise AlreadyExistsError(
                f"{target} is there already. Pass overwrite=True to replace it."
            ) from None
        return target

    def __repr__(self) -> str:
        return f"{self._head()}\n{text_table(self.rows(), longest=60)}{self._tail()}"

    def _repr_html_(self) -> str:
        from workbench.library.lineage_svg import svg

        return f"<div>{html.escape(self._head())}</div>{svg(self)}{html.escape(self._tail())}"

    def _head(self) -> str:
        count = {kind: sum(n.kind == kind for n in self.nodes.values()) for kind in ("dataset", "run")}
        return f"Lineage of {self.nodes[self.id].kind} {self.id}: {count['dataset']} datasets, {count['run']} runs."

    def _tail(self) -> str:
        return "\nMore lies beyond; generations=… goes further." if self.is_cut else ""


def lineage(
    catalog: Catalog,
    id: str,
    kind: Literal["dataset", "run"],
    generations: int,
    direction: Direction,
    store: Store | None = None,
) -> Lineage:
    """Walk from a dataset or run; a generation is a run with what it read and made.

    The catalog is asked two or three times for each generation, whatever its size.

    Raises
    ------
    InvalidInputError
        For generations below 1, or another direction.
    NotFoundError
        If there is no such dataset or run.
    """
    if isinstance(generations, bool) or not isinstance(generations, int) or generations < 1:
        raise InvalidInputError(f"generations is {generations!r}, expected a whole number, 1 or larger.")
    if direction not in ("both", "up", "down"):
        raise InvalidInputError(f"direction is {direction!r}, expected 'both', 'up' or 'down'.")
    walk = _Walk(catalog, store)
    if not walk.meet(kind, [id], 0) or walk.nodes[id].record is None:
        raise NotFoundError(f"There is no {kind} {id!r}.")
    # a generation is two steps; from a run the first one is half of one
    steps = 2 * generations - (kind == "run")
    for sign in (-1, 1):
        if direction in ("both", "up" if sign < 0 else "down"):
            walk.go(walk.nodes[id], sign, steps)
    nodes = dict(sorted(walk.nodes.items(), key=lambda item: (item[1].step, item[0])))
    edges = [edge for edge in walk.edges if edge[0] in nodes and edge[1] in nodes]
    return Lineage(id, nodes, edges, walk.is_cut, None if store is None else (store, catalog))


class _Walk:
    """Nodes and edges that were met so far."""

    def __init__(self, catalog: Catalog, store: Store | None) -> None:
        self._store = store
        self.nodes: dict[str, Node] = {}
        self.edges: dict[tuple[str, str], None] = {}
        self.is_cut = False
        self._catalog = catalog
        self._read_by: dict[str, tuple[str, ...]] = {}  # run -> what it read, as what it made tells

    def meet(self, kind: Literal["dataset", "run"], ids: Iterable[str], step: int) -> list[Node]:
        """Take up what is new of these ids; return it."""
        new = [id for id in dict.fromkeys(ids) if id not in self.nodes]
        room = MOST_NODES - len(self.nodes)
        self.is_cut |= len(new) > room
        new = new[:room]
        known: dict[str, Any] = dict(
            self._catalog.get_datasets(new) if kind == "dataset" else self._catalog.get_runs(new)
        )
        told = self._told(id for id in new if id not in known) if kind == "dataset" else {}
        found = [Node(id, kind, step, known.get(id) or told.get(id), id not in told) for id in new]
        self.nodes.update((node.id, node) for node in found)
        return found

    def _told(self, ids: Iterable[str]) -> dict[str, DatasetRecord]:
        """Return the datasets that are known by what came with an algorithm."""
        keys = [f"{id}.json" for id in ids]
        texts = self._store.get_many(ELSEWHERE, keys) if keys and self._store is not None else []
        records = [DatasetRecord.model_validate_json(text) for text in texts if text is not None]
        return {record.id: record for record in records}

    def go(self, start: Node, sign: int, steps: int) -> None:
        """Walk upstream (-1) or downstream (1)."""
        front = [start]
        for step in range(1, steps + 1):
            next_edges = self._up(front) if sign < 0 else self._down(front)
            self.edges.update(dict.fromkeys((a, b) if sign > 0 else (b, a) for a, b, _ in next_edges))
            front = []
            for kind in ("run", "dataset"):
                ids = [other for _, other, other_kind in next_edges if other_kind == kind]
                front += self.meet(kind, ids, sign * step) if ids else []
        self.is_cut |= bool(front) and bool(self._up(front) if sign < 0 else self._down(front))

    def _up(self, front: list[Node]) -> list[tuple[str, str, str]]:
        found = []
        for node in front:
            record = node.record
            if isinstance(record, RunRecord):
                found += [(node.id, source, "dataset") for source in record.inputs]
            elif node.kind == "run":
                found += [(node.id, source, "dataset") for source in self._read_by.get(node.id, ())]
            elif record is not None and record.run_id is not None:
                self._read_by[record.run_id] = record.parents
                found.append((node.id, record.run_id, "run"))
            elif record is not None:
                found += [(node.id, source, "dataset") for source in record.parents]
        return found

    def _down(self, front: list[Node]) -> list[tuple[str, str, str]]:
        found = []
        for node in front:
            if isinstance(node.record, RunRecord):
                found += [(node.id, o.dataset, "dataset") for o in node.record.outputs if o.dataset]
        read = [node.id for node in front if node.kind == "dataset"]
        readers = self._catalog.readers(read, MOST_NODES + 1) if read else []
        return found + [(dataset, run, "run") for dataset, run in readers]
