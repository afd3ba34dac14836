"""A lineage as a picture: a column for each step, from left to right. Plain SVG in the colours of the front end."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from workbench.theme import ACCENT, LINE, MUTED, TEXT

if TYPE_CHECKING:
    from workbench.library.lineage import Lineage, Node

WIDTH, HEIGHT, GAP_X, GAP_Y, EDGE = 170, 44, 46, 14, 8
_SHORT = 24


def svg(lineage: Lineage) -> str:
    """Return the graph for a notebook, where it can be scrolled."""
    return f'<div style="overflow-x:auto">{drawing(lineage)}</div>'


def drawing(lineage: Lineage) -> str:
    """Return the graph as SVG; the node it is about has a thick border, runs have round corners."""
    columns: dict[int, list[Node]] = {}
    for node in lineage.nodes.values():
        columns.setdefault(node.step, []).append(node)
    sources: dict[str, list[str]] = {}
    for source, target in lineage.edges:
        sources.setdefault(target, []).append(source)
    rows = max(map(len, columns.values()))
    places: dict[str, tuple[int, int]] = {}
    for number, step in enumerate(sorted(columns)):
        # beside what it was made from, so that few lines cross
        nodes = sorted(
            columns[step],
            key=lambda n: min((places[s][1] for s in sources.get(n.id, ()) if s in places), default=0),
        )
        top = EDGE + (rows - len(nodes)) * (HEIGHT + GAP_Y) // 2
        for row, node in enumerate(nodes):
            places[node.id] = (EDGE + number * (WIDTH + GAP_X), top + row * (HEIGHT + GAP_Y))
    lines = "".join(_edge(places[a], places[b]) for a, b in lineage.edges)
    boxes = "".join(_box(node, *places[node.id], node.id == lineage.id) for node in lineage.nodes.values())
    width = 2 * EDGE + len(columns) * (WIDTH + GAP_X) - GAP_X
    height = 2 * EDGE + rows * (HEIGHT + GAP_Y) - GAP_Y
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" role="img" '
        f'aria-label="lineage of {lineage.id}" style="font:12px var(--jp-ui-font-family, sans-serif)">{lines}{boxes}</svg>'
    )


def _edge(source: tuple[int, int], target: tuple[int, int]) -> str:
    x, y, to_x, to_y = source[0] + WIDTH, source[1] + HEIGHT // 2, target[0], target[1] + HEIGHT // 2
    bend = GAP_X // 2
    path = f"M{x} {y} C{x + bend} {y} {to_x - bend} {to_y} {to_x - 5} {to_y}"
    arrow = f"M{to_x} {to_y} l-7 -4 v8 z"
    return (
        f'<path d="{path}" style="fill:none;stroke:{LINE};stroke-width:1.5"/>'
        f'<path d="{arrow}" style="fill:{LINE}"/>'
    )


def _box(node: Node, x: int, y: int, is_asked: bool) -> str:
    is_run = node.kind == "run"
    color = ACCENT if is_run or is_asked else LINE
    dash = ";stroke-dasharray:4 3" if node.record is None else ""
    below = node.detail or node.id
    title = html.escape(f"{node.kind} {node.id}\n{node.label}\n{node.detail}")
    return (
        f"<g><title>{title}</title>"
        f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="{HEIGHT // 2 if is_run else 4}" '
        f'style="fill:var(--jp-layout-color1, #fff);stroke:{color};stroke-width:{3 if is_asked else 1.5}{dash}"/>'
        f'<text x="{x + WIDTH // 2}" y="{y + 18}" text-anchor="middle" style="fill:{TEXT};font-weight:600">{_cut(node.label)}</text>'
        f'<text x="{x + WIDTH // 2}" y="{y + 34}" text-anchor="middle" style="fill:{MUTED};font-size:11px">{_cut(below)}</text></g>'
    )


def _cut(text: str) -> str:
    return html.escape(text if len(text) <= _SHORT else f"{text[: _SHORT - 1]}…")
