"""A pipeline as a picture: a box for each node, frames around nested pipelines. Plain SVG in the colours of the front end."""

from __future__ import annotations

import html
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from workbench.models import NodeRecord, RunRecord, RunStatus
from workbench.pipelines.layers import Place, Placed, Size, place
from workbench.theme import ACCENT, COLORS, ERROR, LINE, MUTED, TEXT

if TYPE_CHECKING:
    from collections.abc import Hashable

BOX: Size = (150.0, 44.0)
PILL_HEIGHT = 24.0
GAP_X, GAP_Y, EDGE = 32.0, 14.0, 8.0
GAP_OF_NAMES = 58.0  # between columns, where lines have names
FRAME, TITLE = 12.0, 20.0  # around a nested pipeline, and for its name
SMALLEST = 0.7  # a wide picture shrinks to this, and is scrolled from then on
_LONGEST = 18
_MARKS = {
    "COMPLETED": "✓",
    "FAILED": "✗",
    "LOST": "✗",
    "CANCELLED": "⊘",
    "SKIPPED": "⊘",
    "RUNNING": "●",
    "STARTED": "●",
}

Edge = tuple[str, str, str]  # from, to, name


@dataclass(frozen=True, slots=True)
class Shape:
    """The nodes of a pipeline placed; states may change without it.

    Parameters
    ----------
    boxes : dict
        Left upper corner of each node, by its path.
    pills : dict
        Of inputs (``<name``) and outputs (``>name``): corner and width.
    frames : dict
        Of nested pipelines: corner and size.
    lines : dict
        The points of each edge.
    size : tuple of float
    """

    boxes: dict[str, Place]
    pills: dict[str, tuple[Place, float]]
    frames: dict[str, tuple[Place, Size]]
    lines: dict[Edge, list[Place]]
    size: Size


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


def shape_of(nodes: Sequence[NodeRecord], outputs: Sequence[tuple[str, str]]) -> Shape:
    """Place the nodes of a pipeline."""
    edges: list[Edge] = []
    for node in nodes:
        edges += [(source or f"<{name}", node.name, name) for source, name in node.sources]
    edges += [(source, f">{name}", name) for source, name in outputs]
    return _Layout(nodes, list(dict.fromkeys(edges))).shape()


@dataclass
class _Level:
    """One pipeline of the nest: what is in it, and how its lines go inside it."""

    sizes: dict[Hashable, Size] = field(default_factory=dict)
    edges: list[tuple[Hashable, Hashable]] = field(default_factory=list)
    enter: set[Hashable] = field(default_factory=set)
    leave: set[Hashable] = field(default_factory=set)
    placed: Placed = field(default_factory=Placed)

    @property
    def size(self) -> Size:
        return self.placed.width + 2 * FRAME, self.placed.height + 2 * FRAME + TITLE


class _Layout:
    """Places nested pipelines from the inside out; lines cross a frame at ports of their own."""

    def __init__(self, nodes: Sequence[NodeRecord], edges: Sequence[Edge]) -> None:
        self._edges = edges
        has_names = any(len(node.outputs) > 1 for node in nodes)
        self._gap_x = GAP_OF_NAMES if has_names else GAP_X
        self._levels: dict[str, _Level] = {"": _Level()}
        for node in nodes:
            for path in _around(node.name):
                self._levels.setdefault(path, _Level())
            self._levels[_outer(node.name)].sizes[node.name] = BOX
        for source, target, _ in edges:
            for end in (source, target):
                if end[0] in "<>":
                    self._levels[""].sizes[end] = (_pill_width(end), PILL_HEIGHT)
        self._routes = {edge: self._route(edge) for edge in edges}
        for path in sorted(self._levels, key=lambda p: (-p.count("/") - bool(p), p)):
            self._place(path)

    def _route(self, edge: Edge) -> list[tuple[str, Hashable, Hashable]]:
        """Return the lines that an edge is made of: in which pipeline, from what to what."""
        source, target, name = edge
        up, down = _around(source), _around(target)
        common = 0
        while common < min(len(up), len(down)) and up[common] == down[common]:
            common += 1
        shared = up[common - 1] if common else ""
        port = (source, name)
        route: list[tuple[str, Hashable, Hashable]] = []
        here: Hashable = source
        for path in reversed(up[common:]):
            leaving = ("leave", path, port)
            self._levels[path].sizes[leaving] = (0.0, 8.0)
            self._levels[path].leave.add(leaving)
            route.append((path, here, leaving))
            here = path
        there: Hashable = down[common] if len(down) > common else target
        route.append((shared, here, there))
        for number, path in enumerate(down[common:], common):
            entering = ("enter", path, port)
            self._levels[path].sizes[entering] = (0.0, 8.0)
            self._levels[path].enter.add(entering)
            inside: Hashable = down[number + 1] if number + 1 < len(down) else target
            route.append((path, entering, inside))
        for path, a, b in route:
            self._levels[path].edges.append((a, b))
        return route

    def _place(self, path: str) -> None:
        level = self._levels[path]
        ends = {box for box in level.sizes if isinstance(box, str) and box[0] == ">"}
        level.placed = place(
            level.sizes,
            level.edges,
            gap_x=self._gap_x,
            gap_y=GAP_Y,
            first=level.enter,
            last=level.leave | ends,
        )
        if path:
            self._levels[_outer(path)].sizes[path] = level.size

    def shape(self) -> Shape:
        """Return where everything is in the whole picture."""
        origin: dict[str, Place] = {"": (EDGE, EDGE)}
        frames: dict[str, tuple[Place, Size]] = {}
        for path in sorted(self._levels, key=lambda p: (p.count("/") + bool(p), p)):
            if path:
                x, y = self._corner(_outer(path), path, origin)
                frames[path] = ((x, y), self._levels[path].size)
                origin[path] = (x + FRAME, y + FRAME + TITLE)
        boxes, pills = {}, {}
        for path, level in self._levels.items():
            for box, (width, _) in level.sizes.items():
                if not isinstance(box, str) or box in self._levels:
                    continue
                corner = self._corner(path, box, origin)
                if box[0] in "<>":
                    pills[box] = (corner, width)
                else:
                    boxes[box] = corner
        lines = {edge: self._points(edge, origin) for edge in self._edges}
        _fan(lines, boxes)
        top = self._levels[""].placed
        return Shape(boxes, pills, frames, lines, (top.width + 2 * EDGE, top.height + 2 * EDGE))

    def _corner(self, level: str, box: Hashable, origin: dict[str, Place]) -> Place:
        x, y = self._levels[level].placed.places[box]
        return origin[level][0] + x, origin[level][1] + y

    def _points(self, edge: Edge, origin: dict[str, Place]) -> list[Place]:
        points: list[Place] = []
        for path, a, b in self._routes[edge]:
            if isinstance(a, str) and a not in self._levels:
                points.append(self._side(path, a, origin, right=True))
            points += [
                (origin[path][0] + x, origin[path][1] + y) for x, y in self._levels[path].placed.bends[a, b]
            ]
            if isinstance(b, tuple) or b not in self._levels:
                points.append(self._side(path, b, origin, right=False))
            else:  # into a frame: at the height of its port
                inside = ("enter", b, (edge[0], edge[2]))
                points.append(self._side(str(b), inside, origin, right=False))
        return list(dict.fromkeys(points))

    def _side(self, level: str, box: Hashable, origin: dict[str, Place], *, right: bool) -> Place:
        x, y = self._corner(level, box, origin)
        width, height = self._levels[level].sizes[box]
        if isinstance(box, tuple):  # a port lies on the frame
            shift = FRAME if box[0] == "leave" else -FRAME
            return x + shift, y + height / 2
        return x + (width if right else 0.0), y + height / 2


def _fan(lines: dict[Edge, list[Place]], boxes: dict[str, Place]) -> None:
    """Let the lines of a box begin and end at heights of their own, in the order of where they come from and go to.

    What one output gives to several begins at one point.
    """
    for end in (0, -1):
        at: dict[str, dict[tuple[str, str], list[Edge]]] = {}
        for edge in lines:
            other = edge[1] if end == 0 else edge[0]
            one = (edge[2], "") if end == 0 else (edge[2], other)
            at.setdefault(edge[end and 1], {}).setdefault(one, []).append(edge)
        for box, ports in at.items():
            if box not in boxes or len(ports) < 2:
                continue
            step = min(BOX[1] / (len(ports) + 1), 14.0)
            near = 1 if end == 0 else -2
            order = sorted(
                ports.values(), key=lambda edges: sum(lines[e][near][1] for e in edges) / len(edges)
            )
            first = boxes[box][1] + BOX[1] / 2 - step * (len(ports) - 1) / 2
            for number, edges in enumerate(order):
                for edge in edges:
                    lines[edge][end] = (lines[edge][end][0], first + number * step)


def _around(path: str) -> list[str]:
    """Return the nested pipelines that a node is in, the outermost first."""
    if path[0] in "<>":
        return []
    parts = path.split("/")[:-1]
    return ["/".join(parts[: i + 1]) for i in range(len(parts))]


def _outer(path: str) -> str:
    return path.rpartition("/")[0]


# -- shapes


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
    said = f"{_shown(edge[0])} → {_shown(edge[1])}: {edge[2].strip('_')}"
    said += "\nno validated link" if is_missing else ""
    name = ""
    if has_name and edge[1][0] != ">":
        below = points[-2][1] < end[1] - 8  # beside the line, on the side it does not come from
        name = (
            f'<text x="{end[0] - 9:g}" y="{end[1] + (12 if below else -4):g}" text-anchor="end" style="fill:{MUTED};font-size:10px">'
            f"{_cut(edge[2].strip('_'), 7)}</text>"
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
        f"{_cut(path.rpartition('/')[2], 40)}</text></g>"
    )


def _pill(name: str, corner: Place, width: float) -> str:
    x, y = corner
    return (
        f'<g class="wb-end"><title>{"input" if name[0] == "<" else "output"} {html.escape(name[1:])}</title>'
        f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{PILL_HEIGHT:g}" rx="{PILL_HEIGHT / 2:g}" '
        f'style="fill:var(--jp-layout-color2, #eee);stroke:{LINE}"/>'
        f'<text x="{x + width / 2:g}" y="{y + 16:g}" text-anchor="middle" style="fill:{MUTED};font-size:11px">'
        f"{_cut(_shown(name), 24)}</text></g>"
    )


def _box(node: NodeRecord, corner: Place, with_state: bool) -> str:
    (x, y), (width, height) = corner, BOX
    status = node.status
    color = _color(status) if with_state else ACCENT if node.kind == "algorithm" else LINE
    is_quiet = with_state and status in ("PENDING", "SKIPPED")
    dash = ";stroke-dasharray:4 3" if with_state and status == "SKIPPED" else ""
    strong = with_state and not is_quiet
    mark = "↺" if node.reused else _MARKS.get(status, "") if with_state else ""
    does = node.label if node.kind == "algorithm" or node.label != node.name else node.kind
    below = f"{does} {node.version}".strip()
    took = f"{node.seconds:.2f} s" if with_state and node.seconds is not None and not node.reused else ""
    room = _LONGEST + 4 - (len(took) + 1 if took else 0)
    lines = [
        f"{node.name} ({node.kind})",
        below,
        status.lower() + (", reused" if node.reused else "") if with_state else "",
        node.error,
    ]
    title = html.escape("\n".join(filter(None, lines)))
    text = TEXT if not is_quiet else MUTED
    right = x + width - 10
    return (
        f'<g class="wb-node" data-node="{html.escape(node.name)}" data-status="{status if with_state else ""}"><title>{title}</title>'
        f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="{6 if node.kind == "algorithm" else 14}" '
        f'style="fill:var(--jp-layout-color1, #fff);stroke:{color};stroke-width:{2 if strong else 1.3}{dash}"/>'
        f'<text x="{x + 12:g}" y="{y + 19:g}" style="fill:{text};font-weight:600">'
        f"{_cut(node.name.rpartition('/')[2], _LONGEST - (2 if mark else 0))}</text>"
        f'<text x="{x + 12:g}" y="{y + 36:g}" style="fill:{MUTED};font-size:11px">{_cut(below, room)}</text>'
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


def _pill_width(name: str) -> float:
    return 22.0 + 6.2 * min(len(_shown(name)), 24)


def _shown(name: str) -> str:
    """Return what an input or output is called: ``input`` where the pipeline has but one."""
    if name[0] not in "<>":
        return name
    text = name[1:]
    if text.startswith("__pipeline_"):
        return text.strip("_").removeprefix("pipeline_")
    return text


def _cut(text: str, longest: int) -> str:
    return html.escape(text if len(text) <= longest else f"{text[: longest - 1]}…")
