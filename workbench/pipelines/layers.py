"""Places boxes in columns from left to right, each after those it needs, with few crossings and short lines.

The method is that of Sugiyama, Tagawa and Toda, doi:10.1109/TSMC.1981.4308636: columns by the longest path, long lines led through
the columns between, order by the mean place of neighbours, then heights as near to the neighbours as the order allows.
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

Item = TypeVar("Item", bound=Hashable)
Size = tuple[float, float]
Place = tuple[float, float]

SWEEPS = 8
MOST_COUNTED = 400  # lines between two columns, whose crossings are counted
LINE_HEIGHT = 12.0  # what a line that passes a column needs there


@dataclass
class Placed:
    """Where everything is.

    Parameters
    ----------
    places : dict
        Left upper corner of each box.
    bends : dict
        By (source, target), the points that a long line passes.
    width, height : float
    """

    places: dict[Hashable, Place] = field(default_factory=dict)
    bends: dict[tuple[Hashable, Hashable], list[Place]] = field(default_factory=dict)
    width: float = 0.0
    height: float = 0.0


def place(
    sizes: Mapping[Item, Size],
    edges: Iterable[tuple[Item, Item]],
    *,
    gap_x: float,
    gap_y: float,
    first: Iterable[Item] = (),
    last: Iterable[Item] = (),
) -> Placed:
    """Place boxes.

    Parameters
    ----------
    sizes : mapping
        Width and height of each box, in px.
    edges : iterable of (source, target)
        Without cycles.
    gap_x, gap_y : float, px
        Between columns, and between boxes of a column.
    first, last : iterable
        Boxes of the first and of the last column.

    Returns
    -------
    Placed
    """
    lines = list(dict.fromkeys(edges))
    column = _columns(list(sizes), lines, set(first), set(last))
    boxes: dict[Hashable, Size] = {item: size for item, size in sizes.items()}  # noqa: C416 - of a wider type
    chains: dict[tuple[Hashable, Hashable], list[Hashable]] = {}
    for source, target in lines:
        passing = [(source, target, c) for c in range(column[source] + 1, column[target])]
        for point in passing:
            boxes[point] = (0.0, LINE_HEIGHT)
            column[point] = point[2]
        chains[source, target] = [source, *passing, target]
    before: dict[Hashable, list[Hashable]] = {box: [] for box in boxes}
    after: dict[Hashable, list[Hashable]] = {box: [] for box in boxes}
    for chain in chains.values():
        for a, b in itertools.pairwise(chain):
            after[a].append(b)
            before[b].append(a)
    columns: list[list[Hashable]] = [[] for _ in range(max(column.values(), default=-1) + 1)]
    for box in boxes:
        columns[column[box]].append(box)
    columns = _ordered(columns, before, after)
    middle = _heights(columns, boxes, before, after, gap_y)
    return _placed(columns, boxes, chains, middle, gap_x)


def _columns(
    items: Sequence[Item], lines: Sequence[tuple[Item, Item]], first: set[Item], last: set[Item]
) -> dict[Hashable, int]:
    """Return the column of each box: after all that it needs; what needs nothing stands just before who needs it."""
    before: dict[Item, list[Item]] = {item: [] for item in items}
    after: dict[Item, list[Item]] = {item: [] for item in items}
    for source, target in lines:
        before[target].append(source)
        after[source].append(target)
    column: dict[Hashable, int] = {}
    left = {item: len(before[item]) for item in items}
    ready = [item for item in items if not left[item]]
    while ready:
        item = ready.pop(0)
        column[item] = max(
            (column[s] + 1 for s in before[item]), default=1 if first and item not in first else 0
        )
        for target in after[item]:
            left[target] -= 1
            if not left[target]:
                ready.append(target)
    for item in items:
        if not before[item] and after[item] and item not in first:
            column[item] = max(column[item], min(column[target] for target in after[item]) - 1)
    end = max(column.values(), default=0)
    alone = any(column[item] == end and item not in last for item in items)
    column.update(dict.fromkeys(last, end + 1 if last and alone else end))
    return column


def _ordered(
    columns: list[list[Hashable]],
    before: Mapping[Hashable, list[Hashable]],
    after: Mapping[Hashable, list[Hashable]],
) -> list[list[Hashable]]:
    """Return the columns with their boxes in an order with few crossings."""
    best, fewest = [list(c) for c in columns], _crossings(columns, after)
    for sweep in range(SWEEPS):
        if not fewest:
            break
        forward = sweep % 2 == 0
        neighbours = before if forward else after
        for column in columns[1:] if forward else columns[-2::-1]:
            other = columns[columns.index(column) + (-1 if forward else 1)]
            rank = {box: i for i, box in enumerate(other)}
            own = {box: i for i, box in enumerate(column)}
            column.sort(key=lambda box: (_mean([rank[n] for n in neighbours[box]], own[box]), own[box]))
        count = _crossings(columns, after)
        if count < fewest:
            best, fewest = [list(c) for c in columns], count
    return best


def _crossings(columns: Sequence[Sequence[Hashable]], after: Mapping[Hashable, list[Hashable]]) -> int:
    count = 0
    for here, there in itertools.pairwise(columns):
        rank = {box: i for i, box in enumerate(there)}
        lines = [(i, rank[target]) for i, box in enumerate(here) for target in after[box]]
        if len(lines) > MOST_COUNTED:
            count += 1
            continue
        count += sum((a[0] - b[0]) * (a[1] - b[1]) < 0 for n, a in enumerate(lines) for b in lines[:n])
    return count


def _heights(
    columns: Sequence[Sequence[Hashable]],
    boxes: Mapping[Hashable, Size],
    before: Mapping[Hashable, list[Hashable]],
    after: Mapping[Hashable, list[Hashable]],
    gap: float,
) -> dict[Hashable, float]:
    """Return the middle of each box from above: near its neighbours, and clear of the next one in its column."""
    middle: dict[Hashable, float] = {}
    for column in columns:
        y = 0.0
        for box in column:
            middle[box] = y + boxes[box][1] / 2
            y += boxes[box][1] + gap
    for sweep in range(2 * SWEEPS):
        forward = sweep % 2 == 0
        for column in columns if forward else columns[::-1]:
            # in the last two sweeps both sides count, so that a box stands between its neighbours
            wanted = []
            for box in column:
                near = before[box] if forward else after[box]
                if sweep >= 2 * SWEEPS - 2:
                    near = before[box] + after[box]
                wanted.append(_mean([middle[n] for n in near], middle[box]))
            apart = [(boxes[a][1] + boxes[b][1]) / 2 + gap for a, b in itertools.pairwise(column)]
            middle.update(zip(column, _spread(wanted, apart), strict=True))
    return middle


def _spread(wanted: Sequence[float], apart: Sequence[float]) -> list[float]:
    """Return the values nearest to what is wanted, in the sense of least squares, that are so far apart."""
    offset = [0.0]
    for distance in apart:
        offset.append(offset[-1] + distance)
    blocks: list[tuple[float, int]] = []  # mean and how many
    for value, shift in zip(wanted, offset, strict=False):
        mean, count = value - shift, 1
        while blocks and blocks[-1][0] > mean:
            other, more = blocks.pop()
            mean, count = (mean * count + other * more) / (count + more), count + more
        blocks.append((mean, count))
    flat = [mean for mean, count in blocks for _ in range(count)]
    return [value + shift for value, shift in zip(flat, offset, strict=False)]


def _placed(
    columns: Sequence[Sequence[Hashable]],
    boxes: Mapping[Hashable, Size],
    chains: Mapping[tuple[Hashable, Hashable], Sequence[Hashable]],
    middle: Mapping[Hashable, float],
    gap_x: float,
) -> Placed:
    top = min((middle[box] - boxes[box][1] / 2 for column in columns for box in column), default=0.0)
    found = Placed()
    x = 0.0
    span: dict[Hashable, tuple[float, float]] = {}
    for column in columns:
        width = max((boxes[box][0] for box in column), default=0.0)
        for box in column:
            w, h = boxes[box]
            y = middle[box] - h / 2 - top
            found.places[box] = (x + (width - w) / 2, y)
            span[box] = (x, x + width)
            found.height = max(found.height, y + h)
        x += width + gap_x
    found.width = max(0.0, x - gap_x)
    for line, chain in chains.items():
        points = []
        for point in chain[1:-1]:  # straight through the column, past what stands there
            y = found.places[point][1] + LINE_HEIGHT / 2
            points += [(span[point][0], y), (span[point][1], y)]
        found.bends[line] = points
        for point in chain[1:-1]:
            del found.places[point]
    return found


def _mean(values: Sequence[float], default: float) -> float:
    return sum(values) / len(values) if values else default
