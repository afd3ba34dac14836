"""A pipeline as a picture: a box for each node, frames around nested pipelines. Plain SVG in the colours of the front end."""

from __future__ import annotations

import html
from collections.abc import Collection, Sequence

from workbench.lettering import fitted, text_width
from workbench.models import NodeRecord, RunRecord, RunStatus
from workbench.pipelines.layers import Place, Size
from workbench.pipelines.shape import BOX, GAP_OF_NAMES, PILL_HEIGHT, Edge, Shape, shape_of, shown
from workbench.theme import ACCENT, COLORS, ERROR, LINE, MUTED, TEXT

SMALLEST = 0.7  # a wide picture shrinks to this, and is scrolled from then on
_LEFT, _RIGHT = 12.0, 10.0  # between a box and its text
_MARKS = {
    "COMPLETED": "✓",
    "FAILED": "✗",
    "LOST": "✗",
    "CANCELLED": "⊘",
    "SKIPPED": "⊘",
    "RUNNING": "●",
    "STARTED": "●",
}


def picture(
    nodes: Sequence[NodeRecord],
    outputs: Sequence[tuple[str, str]],
    *,
    missing: Collection[tuple[str, str]] = (),
    with_state: bool = False,
    shape: Shape | None = None,
    title: str = "pipeline",
) -> str:
    """Return a pipeline as HTML with one SVG.

    Parameters
    ----------
    nodes : sequence of NodeRecord
    outputs : sequence of (str, str)
        Which node gives each output of the pipeline, and its name.
    missing : collection of (str, str)
        Edges (from, to) without a validated link: dashed and red.
    with_state : bool
        Whether the nodes show how they stand.
    shape : Shape, optional
        Of these nodes, where it was made before.
    title : str
        For those who cannot see it.
    """
    made = shape_of(nodes, outputs) if shape is None else shape
    several = {node.name for node in nodes if len(node.outputs) > 1}
    lines = "".join(
        _line(edge, points, edge[:2] in missing, edge[0] in several) for edge, points in made.lines.items()
    )
    frames = "".join(_frame(path, *made.frames[path]) for path in made.frames)
    pills = "".join(_pill(name, *made.pills[name]) for name in made.pills)
    boxes = "".join(_box(node, made.boxes[node.name], with_state) for node in nodes)
    width, height = made.size
    legend = (
        f'<div style="color:{ERROR};font-size:11px">dashed: this version was never validated with what it reads; train it again</div>'
        if missing
        else ""
    )
    return (
        f'<div style="overflow-x:auto;max-width:100%"><svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
        f'role="img" aria-label="{html.escape(title)}" style="display:block;width:100%;max-width:{width:g}px;'
        f'min-width:{width * SMALLEST:.0f}px;height:auto;font:12px var(--jp-ui-font-family, sans-serif)">'
        f"{frames}{lines}{pills}{boxes}</svg></div>{legend}"
    )


def run_picture(record: RunRecord, shape: Shape | None = None) -> str:
    """Return the nodes of a pipeline's run, with how they stand."""
    return picture(
        record.nodes,
        record.pipeline_outputs,
        with_state=True,
        shape=shape,
        title=f"run of pipeline {record.algorithm}",
    )


def _line(edge: Edge, points: Sequence[Place], is_missing: bool, has_name: bool) -> str:
    color = ERROR if is_missing else MUTED
    (x, y), *rest = points
    path = f"M{x:g} {y:g}"
    end = rest[-1]
    for to_x, to_y in [*rest[:-1], (end[0] - 5, end[1])]:
        bend = (to_x - x) / 2
        straight = abs(to_y - y) < 0.5
        path += (
            f" L{to_x:g} {to_y:g}"
            if straight
            else f" C{x + bend:g} {y:g} {to_x - bend:g} {to_y:g} {to_x:g} {to_y:g}"
        )
        x, y = to_x, to_y
    dash = ";stroke-dasharray:5 4" if is_missing else ""
    said = f"{shown(edge[0])} → {shown(edge[1])}: {edge[2].strip('_')}"
    said += "\nno validated link" if is_missing else ""
    name = ""
    if has_name and edge[1][0] != ">":
        below = points[-2][1] < end[1] - 8  # beside the line, on the side it does not come from
        name = (
            f'<text x="{end[0] - 9:g}" y="{end[1] + (12 if below else -4):g}" text-anchor="end" style="fill:{MUTED};font-size:10px">'
            f"{_cut(edge[2].strip('_'), GAP_OF_NAMES - 12, 10)}</text>"
        )
    return (
        f'<g class="wb-edge{" wb-missing" if is_missing else ""}"><title>{html.escape(said)}</title>'
        f'<g style="opacity:{1 if is_missing else 0.55}">'
        f'<path d="{path}" style="fill:none;stroke:{color};stroke-width:1.3{dash}"/>'
        f'<path d="M{end[0]:g} {end[1]:g} l-7 -4 v8 z" style="fill:{color}"/></g>{name}</g>'
    )


def _frame(path: str, corner: Place, size: Size) -> str:
    (x, y), (width, height) = corner, size
    return (
        f'<g class="wb-frame"><rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="8" '
        f'style="fill:var(--jp-layout-color2, #f3f3f3);fill-opacity:.55;stroke:{LINE}"/>'
        f'<text x="{x + 10:g}" y="{y + 17:g}" style="fill:{MUTED};font-size:11px;font-weight:600">'
        f"{_cut(path.rpartition('/')[2], width - 20, 11, is_bold=True)}</text></g>"
    )


def _pill(name: str, corner: Place, width: float) -> str:
    x, y = corner
    return (
        f'<g class="wb-end"><title>{"input" if name[0] == "<" else "output"} {html.escape(name[1:])}</title>'
        f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{PILL_HEIGHT:g}" rx="{PILL_HEIGHT / 2:g}" '
        f'style="fill:var(--jp-layout-color2, #eee);stroke:{LINE}"/>'
        f'<text x="{x + width / 2:g}" y="{y + 16:g}" text-anchor="middle" style="fill:{MUTED};font-size:11px">'
        f"{_cut(shown(name), width - 12, 11)}</text></g>"
    )


def _box(node: NodeRecord, corner: Place, with_state: bool) -> str:
    (x, y), (width, height) = corner, BOX
    status = node.status
    color = _color(status) if with_state else ACCENT if node.kind == "algorithm" else LINE
    is_quiet = with_state and status in ("PENDING", "SKIPPED")
    dash = ";stroke-dasharray:4 3" if with_state and status == "SKIPPED" else ""
    strong = with_state and not is_quiet
    mark = "↺" if node.reused else _MARKS.get(status, "") if with_state else ""
    own = {"function": "ƒ", "step": "step"}.get(node.kind, node.label)
    does = node.label if node.label != node.name else own
    below = f"{does} {node.version}".strip()
    took = f"{node.seconds:.2f} s" if with_state and node.seconds is not None and not node.reused else ""
    room = width - _LEFT - _RIGHT
    for_name = room - (text_width(mark, 12) + 6 if mark else 0)
    for_below = room - (text_width(took, 11) + 6 if took else 0)
    lines = [
        f"{node.name} ({node.kind})",
        below,
        status.lower() + (", reused" if node.reused else "") if with_state else "",
        node.error,
    ]
    title = html.escape("\n".join(filter(None, lines)))
    text = TEXT if not is_quiet else MUTED
    right = x + width - _RIGHT
    return (
        f'<g class="wb-node" data-node="{html.escape(node.name)}" data-status="{status if with_state else ""}"><title>{title}</title>'
        f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="{6 if node.kind == "algorithm" else 14}" '
        f'style="fill:var(--jp-layout-color1, #fff);stroke:{color};stroke-width:{2 if strong else 1.3}{dash}"/>'
        f'<text x="{x + _LEFT:g}" y="{y + 19:g}" style="fill:{text};font-weight:600">'
        f"{_cut(node.name.rpartition('/')[2], for_name, 12, is_bold=True)}</text>"
        f'<text x="{x + _LEFT:g}" y="{y + 36:g}" style="fill:{MUTED};font-size:11px">{_cut(below, for_below, 11)}</text>'
        + (
            f'<text x="{right:g}" y="{y + 19:g}" text-anchor="end" style="fill:{color}">{mark}</text>'
            if mark
            else ""
        )
        + (
            f'<text x="{right:g}" y="{y + 36:g}" text-anchor="end" style="fill:{MUTED};font-size:11px">{took}</text>'
            if took
            else ""
        )
        + "</g>"
    )


def _color(status: str) -> str:
    if status == "SKIPPED":
        return MUTED
    return LINE if status == "PENDING" else COLORS[RunStatus(status)]


def _cut(text: str, width: float, size: float, *, is_bold: bool = False) -> str:
    return html.escape(fitted(text, width, size, is_bold=is_bold))
