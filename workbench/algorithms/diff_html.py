"""Files of code side by side, as HTML that fits a light and a dark theme and a narrow cell."""

from __future__ import annotations

import difflib
import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from workbench.theme import LINE, MONO, MUTED, TEXT

CONTEXT = 3  # lines around a change
MOST_ROWS = 2000
#: washes that let any text colour through
_GONE, _NEW, _NOTHING = "rgba(220, 60, 60, .18)", "rgba(40, 160, 70, .18)", "rgba(128, 128, 128, .08)"
_STYLE = (
    f"<style>.wb-diff{{width:100%;table-layout:fixed;border-collapse:collapse;font-family:{MONO};font-size:12px;"
    f"color:{TEXT};margin:2px 0 10px}}"
    ".wb-diff tr{background:none!important}"  # Jupyter's stripes would mix with ours
    ".wb-diff td{padding:0 6px;text-align:left!important;vertical-align:top;white-space:pre-wrap;overflow-wrap:anywhere;"
    "line-height:1.45}"
    f".wb-diff td.n{{width:34px;color:{MUTED};text-align:right!important;user-select:none}}"
    f".wb-diff td.n+td+td.n{{border-left:1px solid {LINE}}}"
    f".wb-diff td.gap{{color:{MUTED};text-align:center!important}}"
    f".wb-diff td.x{{background:{_GONE}}}.wb-diff td.y{{background:{_NEW}}}.wb-diff td.z{{background:{_NOTHING}}}</style>"
)
Row = tuple[int | None, str, int | None, str]


@dataclass(frozen=True, slots=True)
class FileChange:
    """A file on both sides; None where it is not."""

    path: str
    before: str | None
    after: str | None

    def unified(self, a: str, b: str) -> list[str]:
        """Return the lines of a unified diff."""
        one, other = ((text or "").splitlines() for text in (self.before, self.after))
        return list(
            difflib.unified_diff(one, other, f"{a} {self.path}", f"{b} {self.path}", lineterm="", n=2)
        )


def side_by_side(changes: Sequence[FileChange], a: str, b: str) -> str:
    """Return files one below the other, each with its two sides beside each other; empty without changes."""
    if not changes:
        return ""
    return _STYLE + "".join(_file(change, a, b) for change in changes)


def _file(change: FileChange, a: str, b: str) -> str:
    state = " (new)" if change.before is None else " (gone)" if change.after is None else ""
    rows: list[str] = []
    for row in _rows((change.before or "").splitlines(), (change.after or "").splitlines()):
        if len(rows) == MOST_ROWS:
            rows.append(_gap("more follows; print() the comparison to see all"))
            break
        rows.append(_gap("…") if row is None else _row(*row))
    head = (
        f'<tr><td class="n"></td><td>{html.escape(a)}</td><td class="n"></td><td>{html.escape(b)}</td></tr>'
    )
    title = f'<div style="margin-top:8px"><code>{html.escape(change.path)}</code>{state}</div>'
    return f'{title}<table class="wb-diff">{head}{"".join(rows)}</table>'


def _rows(before: Sequence[str], after: Sequence[str]) -> Iterator[Row | None]:
    """Yield line numbers and lines of both sides; None stands for what is left out."""
    groups = difflib.SequenceMatcher(None, before, after, autojunk=False).get_grouped_opcodes(CONTEXT)
    for number, group in enumerate(groups):
        if number:
            yield None
        for _, i1, i2, j1, j2 in group:
            for offset in range(max(i2 - i1, j2 - j1)):
                i, j = i1 + offset, j1 + offset
                left = (i + 1, before[i]) if i < i2 else (None, "")
                right = (j + 1, after[j]) if j < j2 else (None, "")
                yield (*left, *right)


def _row(i: int | None, left: str, j: int | None, right: str) -> str:
    same = i is not None and j is not None and left == right
    one = "" if same else "z" if i is None else "x"
    other = "" if same else "z" if j is None else "y"
    return (
        f'<tr><td class="n">{i or ""}</td><td class="{one}">{html.escape(left)}</td>'
        f'<td class="n">{j or ""}</td><td class="{other}">{html.escape(right)}</td></tr>'
    )


def _gap(text: str) -> str:
    return f'<tr><td class="gap" colspan="4">{html.escape(text)}</td></tr>'
