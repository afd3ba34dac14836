"""Small pictures of recorded numbers over the parameters of a sweep, as SVG that needs nothing else."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

Points = Sequence[tuple[Mapping[str, Any], float]]  # parameters of a run, the number that it recorded

_WIDTH, _LEFT, _TOP = 360, 52, 8
_MOST_BARS, _MOST_TILES = 16, 24
# dark to light, so that more is lighter on every ground; read off viridis at fifths
_RAMP = ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37))


def chart(points: Points, axes: Sequence[str]) -> tuple[str, str]:
    """Return the SVG that suits the axes, and a few words on what it shows; both empty if none does.

    One number axis: a curve; one of words: bars; two: a heat map, of means where more parameters vary.

    Parameters
    ----------
    points : sequence of (parameters, number)
    axes : sequence of str
        Parameters that vary, the first ones first.
    """
    points = [(where, value) for where, value in points if math.isfinite(value)]
    if len(points) < 2 or not axes:
        return "", ""
    if len(axes) >= 2:
        rows, columns = (_distinct(points, axis) for axis in axes[:2])
        is_grid = len(rows) <= _MOST_TILES and len(columns) <= _MOST_TILES
        if is_grid and 2 * len(points) >= len(rows) * len(columns):
            means = f", mean over {', '.join(axes[2:])}" if len(axes) > 2 else ""
            return _heat_map(points, axes[0], axes[1], rows, columns), f"{axes[0]} x {axes[1]}{means}"
    axis = axes[0]
    found = _distinct(points, axis)
    if all(_is_number(value) for value in found):
        return _curve(points, axis), f"over {axis}"
    return (_bars(points, axis, found), f"mean per {axis}") if len(found) <= _MOST_BARS else ("", "")


def _curve(points: Points, axis: str) -> str:
    at = sorted((float(where[axis]), value) for where, value in points)
    height, bottom, right = 200, 160, _WIDTH - 12
    low_x, high_x = at[0][0], at[-1][0]
    low_y, high_y = min(y for _, y in at), max(y for _, y in at)

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - low_x) / ((high_x - low_x) or 1)
        up = (y - low_y) / (high_y - low_y) if high_y > low_y else 0.5
        return _LEFT + 10 + across * (right - _LEFT - 20), bottom - 12 - up * (bottom - _TOP - 24)

    placed = [place(x, y) for x, y in at]
    is_function = len({x for x, _ in at}) == len(at)  # else a line would jump up and down
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
    parts = [f'<polyline class="curve" points="{line}"/>'] if is_function else []
    for (x, y), (given, value) in zip(placed, at, strict=True):
        tip = f"<title>{html.escape(axis)} = {given:.6g}: {value:.6g}</title>"
        parts.append(
            f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="{3.5 if len(at) < 60 else 2}">{tip}</circle>'
        )
    for y in sorted({low_y, high_y}):
        parts.append(_text(_LEFT - 4, place(low_x, y)[1] + 4, f"{y:.4g}", "end"))
    for x in sorted({low_x, high_x}):
        parts.append(_text(place(x, low_y)[0], bottom + 16, f"{x:.4g}", "middle"))
    parts.append(_text((_LEFT + right) / 2, height - 8, axis, "middle", strong=True))
    frame = f'<path class="axis" fill="none" d="M{_LEFT} {_TOP}V{bottom}H{right}"/>'
    return _svg(height, frame + "".join(parts))


def _bars(points: Points, axis: str, names: Sequence[Any]) -> str:
    means = [_mean([value for where, value in points if where.get(axis) == name]) for name in names]
    left, row, right = 118, 26, _WIDTH - 56
    low, high = min(0.0, *means), max(0.0, *means)
    zero = left + (0 - low) / ((high - low) or 1) * (right - left)
    parts = []
    for number, (name, value) in enumerate(zip(names, means, strict=True)):
        end = left + (value - low) / ((high - low) or 1) * (right - left)
        y = _TOP + number * row
        parts.append(_text(left - 6, y + 15, _short(name, 18), "end"))
        parts.append(
            f'<rect class="bar" x="{min(zero, end):.1f}" y="{y + 3}" width="{max(abs(end - zero), 1):.1f}" height="16" rx="3"/>'
        )
        parts.append(_text(max(zero, end) + 5, y + 15, f"{value:.4g}", "start", strong=True))
    return _svg(_TOP * 2 + row * len(names), "".join(parts))


def _heat_map(points: Points, row: str, column: str, rows: Sequence[Any], columns: Sequence[Any]) -> str:
    tiles: dict[tuple[Any, Any], list[float]] = {}
    for where, value in points:
        tiles.setdefault((_key(where.get(row)), _key(where.get(column))), []).append(value)
    means = {at: _mean(values) for at, values in tiles.items()}
    low, high = min(means.values()), max(means.values())
    left = min(110, 22 + 7 * max(len(_short(name, 12)) for name in rows))
    wide = (_WIDTH - left - 6) / len(columns)
    tall = min(34.0, max(14.0, wide * 0.8))
    top = _TOP + 16.0  # the name of the rows stands above them, where it has room
    parts = [_text(2, _TOP + 6, f"{row} ↓", "start", strong=True)]
    for i, r in enumerate(rows):
        y = top + i * tall
        parts.append(_text(left - 6, y + tall / 2 + 4, _short(r, 12), "end"))
        for j, c in enumerate(columns):
            x = left + j * wide
            box = f'x="{x + 1:.1f}" y="{y + 1:.1f}" width="{wide - 2:.1f}" height="{tall - 2:.1f}" rx="3"'
            mean = means.get((_key(r), _key(c)))
            if mean is None:
                parts.append(f'<rect class="empty" {box}/>')
                continue
            share = (mean - low) / (high - low) if high > low else 0.5
            colour, on = _colour(share)
            tip = html.escape(f"{row} = {_short(r, 40)}, {column} = {_short(c, 40)}: {mean:.6g}")
            parts.append(f'<rect {box} fill="{colour}"><title>{tip}</title></rect>')
            if wide >= 34 and tall >= 16:
                parts.append(_text(x + wide / 2, y + tall / 2 + 4, f"{mean:.3g}", "middle", css=on))
    bottom = top + tall * len(rows)
    every = max(1, math.ceil(7 * max(len(_short(c, 8)) for c in columns) / wide))
    for j, c in enumerate(columns):
        if j % every == 0:
            parts.append(_text(left + (j + 0.5) * wide, bottom + 14, _short(c, 8), "middle"))
    parts.append(_text(left + (_WIDTH - left) / 2, bottom + 32, f"{column} →", "middle", strong=True))
    return _svg(bottom + 40, "".join(parts))


def _colour(share: float) -> tuple[str, str]:
    """Return the colour of a share 0..1 of the ramp, and the class of text that reads well on it."""
    at = share * (len(_RAMP) - 1)
    i = min(int(at), len(_RAMP) - 2)
    red, green, blue = (round(a + (b - a) * (at - i)) for a, b in zip(_RAMP[i], _RAMP[i + 1], strict=True))
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return f"rgb({red},{green},{blue})", "on-light" if luminance > 128 else "on-dark"


def _text(x: float, y: float, text: Any, anchor: str, *, strong: bool = False, css: str = "") -> str:
    kind = css or ("strong" if strong else "")
    attribute = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{attribute}>{html.escape(str(text))}</text>'


def _svg(height: float, content: str) -> str:
    return f'<svg viewBox="0 0 {_WIDTH} {height:.0f}" role="img" xmlns="http://www.w3.org/2000/svg">{content}</svg>'


def _distinct(points: Points, axis: str) -> list[Any]:
    found: dict[Any, Any] = {}
    for where, _ in points:
        found.setdefault(_key(where.get(axis)), where.get(axis))
    values = list(found.values())
    return sorted(values) if all(_is_number(value) for value in values) else values


def _key(value: Any) -> Any:
    """Return what tells values apart that may not be hashable; 1 and 1.0 are one place on an axis."""
    return value if _is_number(value) else repr(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _short(value: Any, most: int) -> str:
    text = f"{value:.4g}" if _is_number(value) else str(value)
    return text if len(text) <= most else text[: most - 1] + "…"
