"""Lineage: what a dataset or run was made from, and what was made from it, as far as it goes."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from workbench.errors import AlreadyExistsError, InvalidInputError, NotFoundError, UnsupportedError
from workbench.library.lineage_walk import Kind, Walk, steps_from
from workbench.models import DatasetRecord, RunRecord
from workbench.pages import text_table

if TYPE_CHECKING:
    from workbench.catalog import Catalog
    from workbench.storage.store import Store

Direction = Literal["both", "up", "down"]


@dataclass(frozen=True, slots=True)
class Node:
    """A dataset or run of a lineage. ``step`` counts from the one that was asked for, by the longest way: negative is upstream."""

    id: str
    kind: Kind
    step: int
    record: DatasetRecord | RunRecord | None  # None: deleted since
    is_here: bool = True  # False: only told of by a run that came with an algorithm; its arrays are elsewhere

    @property
    def label(self) -> str:
        """What people call it: the name of a dataset, the algorithm of a run, with the version of a step."""
        if self.record is None:
            return "deleted since"
        if isinstance(self.record, RunRecord):
            version = self.record.version
            return version if "@" in version else f"{self.record.algorithm} {version}".rstrip()
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
        From what was read to who read it, and from the run to what it made. Where a run read what is no dataset, a plain value
        or what a step had learned, from the run that gave it.
    is_cut : bool
        There is more than was asked for.
    place : (Store, Catalog), optional
        Where the files are.
    inside : dict
        Of the lineage of a pipeline's run: the runs that computed its nodes, with their names, and what they made.
    """

    id: str
    nodes: dict[str, Node]
    edges: Sequence[tuple[str, str]]
    is_cut: bool = False
    place: tuple[Store, Catalog] | None = field(default=None, repr=False, compare=False)
    inside: Mapping[str, str] = field(default_factory=dict)

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
                **({"node": self.inside.get(node.id, "")} if self.inside else {}),
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
            Folders before it are made.
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
        target.parent.mkdir(parents=True, exist_ok=True)
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
        kinds = [node.kind for node in self.nodes.values()]
        counts = [
            f"{kinds.count(kind)} {kind}{'' if kinds.count(kind) == 1 else 's'}"
            for kind in ("dataset", "run")
        ]
        return f"Lineage of {self.nodes[self.id].kind} {self.id}: {', '.join(counts)}."

    def _tail(self) -> str:
        return "\nMore lies beyond; generations=… goes further." if self.is_cut else ""


def lineage(
    catalog: Catalog,
    id: str,
    kind: Kind,
    generations: int,
    direction: Direction,
    store: Store | None = None,
) -> Lineage:
    """Walk from a dataset or run; a generation is a run with what it read and made.

    Of the run of a pipeline, the runs that computed its nodes are where the walk begins.

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
    walk = Walk(catalog, store)
    front = walk.meet(kind, [id])
    record = walk.nodes[id].record if front else None
    if record is None:
        raise NotFoundError(f"There is no {kind} {id!r}.")
    parts = walk.parts_of(record)
    front += walk.meet("run", parts)
    steps = 2 * generations - (kind == "run")  # from a run the first one is half of one
    if direction != "down":
        walk.go(front, -1, steps)
    if direction != "up":
        walk.go([*front, *(walk.nodes[target] for target in walk.made_by(parts))], 1, steps)
    edges = [edge for edge in walk.edges if edge[0] in walk.nodes and edge[1] in walk.nodes]
    made = walk.made_by(parts)
    # what a node gave the pipeline gave through it
    edges = [(source, target) for source, target in edges if source != id or target not in made]
    inside = {other: parts.get(other, "") for other in walk.nodes if other in made or other in parts}
    places = steps_from([id, *inside], edges)
    nodes = [Node(n.id, n.kind, places[n.id], n.record, n.is_here) for n in walk.nodes.values()]
    nodes.sort(key=lambda node: (node.step, node.id != id, node.id))
    place = None if store is None else (store, catalog)
    return Lineage(id, {node.id: node for node in nodes}, edges, walk.is_cut, place, inside)
