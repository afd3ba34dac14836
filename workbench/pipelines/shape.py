"""Where the nodes of a pipeline stand in its picture: nested pipelines from the inside out, lines through their frames."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

from workbench.lettering import text_width
from workbench.models import NodeRecord
from workbench.pipelines.layers import Place, Placed, Size, place

BOX: Size = (168.0, 44.0)
PILL_HEIGHT, LONGEST_PILL = 24.0, 160.0
GAP_X, GAP_Y, EDGE = 32.0, 14.0, 8.0
GAP_OF_NAMES = 58.0  # between columns, where lines have names
FRAME, TITLE = 12.0, 20.0  # around a nested pipeline, and for its name

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
                    self._levels[""].sizes[end] = (pill_width(end), PILL_HEIGHT)
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


def pill_width(name: str) -> float:
    return 18.0 + min(text_width(shown(name), 11), LONGEST_PILL)


def shown(name: str) -> str:
    """Return what an input or output is called: ``input`` where the pipeline has but one."""
    if name[0] not in "<>":
        return name
    text = name[1:]
    if text.startswith("__pipeline_"):
        return text.strip("_").removeprefix("pipeline_")
    return text
