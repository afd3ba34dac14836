"""A lineage as a picture: a column for each step, from left to right. Plain SVG in the colours of the front end."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from workbench.lettering import fitted
from workbench.theme import ACCENT, LINE, MUTED, TEXT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from workbench.library.lineage import Lineage, Node

WIDTH, HEIGHT, GAP_X, GAP_Y, EDGE = 190, 44, 46, 14, 8
FRAME, TITLE = 12, 22  # around the nodes of a pipeline, and for its name
Corner = tuple[int, int]


def svg(lineage: Lineage) -> str:
    """Return the graph for a notebook, where it can be scrolled."""
    return f'<div style="overflow-x:auto">{drawing(lineage)}</div>'


def drawing(lineage: Lineage) -> str:
    """Return the graph as SVG; the node it is about has a thick border, runs have round corners.

    The run of a pipeline is a frame around what happened in it; where something else lies between that, as a training that read
    what this pipeline made, the boxes inside have thick borders instead.
    """
    framed = lineage.nodes[lineage.id] if _has_frame(lineage) else None
    shown = [node for node in lineage.nodes.values() if node is not framed]
    edges = [edge for edge in lineage.edges if framed is None or framed.id not in edge]
    top = EDGE + (FRAME + TITLE if framed else 0)
    places = _placed(shown, edges, top)
    width = max(x for x, _ in places.values()) + WIDTH + EDGE + (FRAME if framed else 0)
    height = max(y for _, y in places.values()) + HEIGHT + EDGE + (FRAME if framed else 0)
    frame = "" if framed is None else _frame(framed, [places[id] for id in lineage.inside], top, height)
    lines = "".join(_edge(places[a], places[b]) for a, b in edges)
    marked = {lineage.id} if framed else {lineage.id, *lineage.inside}
    boxes = "".join(_box(node, *places[node.id], node.id in marked) for node in shown)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" role="img" '
        f'aria-label="lineage of {lineage.id}" style="max-width:none;font:12px var(--jp-ui-font-family, sans-serif)">{frame}{lines}{boxes}</svg>'
    )


def _has_frame(lineage: Lineage) -> bool:
    inside = [lineage.nodes[id].step for id in lineage.inside]
    others = [
        node.step
        for node in lineage.nodes.values()
        if node.id not in lineage.inside and node.id != lineage.id
    ]
    return bool(inside) and not any(min(inside) <= step <= max(inside) for step in others)


def _placed(nodes: Sequence[Node], edges: Sequence[tuple[str, str]], top: int) -> dict[str, Corner]:
    """Return the left upper corner of each node: beside what it was made from, so that few lines cross."""
    columns: dict[int, list[Node]] = {}
    for node in nodes:
        columns.setdefault(node.step, []).append(node)
    sources: dict[str, list[str]] = {}
    for source, target in edges:
        sources.setdefault(target, []).append(source)
    rows = max(map(len, columns.values()))
    places: dict[str, Corner] = {}
    for number, step in enumerate(sorted(columns)):
        column = sorted(columns[step], key=lambda n: _middle(sources.get(n.id, ()), places))
        first = top + (rows - len(column)) // 2 * (
            HEIGHT + GAP_Y
        )  # rows stand in line: long edges pass between
        for row, node in enumerate(column):
            places[node.id] = (EDGE + FRAME + number * (WIDTH + GAP_X), first + row * (HEIGHT + GAP_Y))
    return places


def _middle(ids: Sequence[str], places: Mapping[str, Corner]) -> float:
    heights = [places[id][1] for id in ids if id in places]
    return sum(heights) / len(heights) if heights else 0


def _edge(source: Corner, target: Corner) -> str:
    x, y, to_x, to_y = source[0] + WIDTH, source[1] + HEIGHT // 2, target[0], target[1] + HEIGHT // 2
    bend = GAP_X // 2
    over = ""
    if to_x - x > GAP_X:  # between the rows where it passes other columns
        between = y + (HEIGHT + GAP_Y) // 2
        over = f" C{x + bend} {y} {x + bend} {between} {x + GAP_X} {between} L{to_x - GAP_X} {between}"
        x, y = to_x - GAP_X, between
    path = f"M{source[0] + WIDTH} {source[1] + HEIGHT // 2}{over} C{x + bend} {y} {to_x - bend} {to_y} {to_x - 5} {to_y}"
    arrow = f"M{to_x} {to_y} l-7 -4 v8 z"
    return (
        f'<path d="{path}" style="fill:none;stroke:{LINE};stroke-width:1.5"/>'
        f'<path d="{arrow}" style="fill:{LINE}"/>'
    )


def _frame(node: Node, inside: Sequence[Corner], top: int, height: int) -> str:
    """Return the frame of a pipeline's run; nothing else stands in the columns of what is inside."""
    left = min(x for x, _ in inside) - FRAME
    width = max(x for x, _ in inside) + WIDTH + FRAME - left
    title = html.escape(f"run {node.id}\n{node.label}\n{node.detail}")
    return (
        f"<g><title>{title}</title>"
        f'<rect x="{left}" y="{EDGE}" width="{width}" height="{height - 2 * EDGE}" rx="8" '
        f'style="fill:var(--jp-layout-color2, #f3f3f3);fill-opacity:.55;stroke:{ACCENT};stroke-width:3"/>'
        f'<text x="{left + FRAME}" y="{top - FRAME + 2}" style="fill:{TEXT};font-weight:600">'
        f"{html.escape(fitted(f'pipeline {node.label}', width - 2 * FRAME, 12, is_bold=True))}</text></g>"
    )


def _box(node: Node, x: int, y: int, is_asked: bool) -> str:
    is_run = node.kind == "run"
    color = ACCENT if is_run or is_asked else LINE
    dash = ";stroke-dasharray:4 3" if node.record is None else ""
    room = WIDTH - (HEIGHT // 2 if is_run else 12)
    name = getattr(node.record, "node", "").rpartition(".")[2]
    label = node.label if name in ("", node.label) else f"{name}: {node.label}"
    label = html.escape(fitted(label, room, 12, is_bold=True))
    below = html.escape(fitted(node.detail or node.id, room, 11))
    title = html.escape(f"{node.kind} {node.id}\n{node.label}\n{node.detail}")
    return (
        f"<g><title>{title}</title>"
        f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="{HEIGHT // 2 if is_run else 4}" '
        f'style="fill:var(--jp-layout-color1, #fff);stroke:{color};stroke-width:{3 if is_asked else 1.5}{dash}"/>'
        f'<text x="{x + WIDTH // 2}" y="{y + 18}" text-anchor="middle" style="fill:{TEXT};font-weight:600">{label}</text>'
        f'<text x="{x + WIDTH // 2}" y="{y + 34}" text-anchor="middle" style="fill:{MUTED};font-size:11px">{below}</text></g>'
    )
