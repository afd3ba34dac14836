"""A sweep as HTML and as text: one head with a bar, and the first rows of its table."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

from workbench.execution.pace import duration
from workbench.library.picture import thumbnail_html
from workbench.library.recorded import is_record, summary_of, thumbnail_of
from workbench.models import RunStatus
from workbench.pages import Row, html_table, text_table
from workbench.theme import COLORS, LINE, MUTED

if TYPE_CHECKING:
    from workbench.batch.sweep import Sweep

SHOWN_ROWS = 20
SHOWN_IN_TEXT = 8
_COLORS = {"INCOMPLETE": COLORS[RunStatus.LOST]}
#: in the bar, from the left
_PARTS = (RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.LOST, RunStatus.CANCELLED)


class _Recorded:
    """A recorded value in a table: a few words, or its thumbnail."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def __str__(self) -> str:
        return summary_of(self._value)

    def _repr_html_(self) -> str:
        png = thumbnail_of(self._value)
        return html.escape(str(self)) if png is None else thumbnail_html(png, str(self))


def _rows(sweep: Sweep, limit: int) -> list[Row]:
    rows = sweep.kept_rows(all_parameters=False, limit=limit)
    return [{name: _Recorded(v) if is_record(v) else v for name, v in row.items()} for row in rows]


def counts_text(sweep: Sweep) -> str:
    """Return how many points are in which state: ``97 of 100 completed, 2 failed, 1 missing``."""
    counts = sweep.counts
    told = [f"{counts.pop('COMPLETED', 0)} of {len(sweep)} completed"]
    return ", ".join(told + [f"{number} {status.lower()}" for status, number in counts.items()])


def head_html(sweep: Sweep) -> str:
    """Return one line: state, a bar with a part for each way to end, per cent, counts, how long it still takes."""
    color = _COLORS.get(sweep.status) or COLORS[RunStatus(sweep.status)]
    badge = (
        f'<span class="wb-badge" style="color:#fff;border-radius:3px;padding:1px 7px;font-size:11px;font-weight:600;'
        f'background:{color}">{sweep.status}</span>'
    )
    left = "" if sweep.eta_s is None else f"<span>about {duration(sweep.eta_s)} left</span>"
    percent = f"{sweep.progress:.0%}"
    return (
        "<div style='display:flex;align-items:center;gap:10px;min-height:26px;font-variant-numeric:tabular-nums'>"
        f"{badge}{_bar(sweep, percent)}<span>{percent}</span><span>{counts_text(sweep)}</span>{left}</div>"
    )


def _bar(sweep: Sweep, percent: str) -> str:
    counts, size = sweep.counts, max(1, len(sweep))
    parts, ended = "", 0.0
    for status in _PARTS:
        share = counts.get(str(status), 0) / size
        ended += share
        if share:
            parts += f'<div style="width:{share:.2%};background:{COLORS[status]}"></div>'
    begun = sweep.progress - ended  # of points that are under way
    if begun > 0:
        parts += f'<div style="width:{begun:.2%};background:{COLORS[RunStatus.RUNNING]}"></div>'
    return (
        f'<div role="progressbar" aria-valuenow="{percent[:-1]}" aria-valuemin="0" aria-valuemax="100" '
        'style="display:flex;flex:0 0 180px;height:8px;border-radius:4px;overflow:hidden;'
        f'background:var(--jp-layout-color3, #ddd)">{parts}</div>'
    )


def sweep_html(sweep: Sweep) -> str:
    """Return a sweep as static HTML that needs no widgets and fits light and dark themes."""
    record = sweep.record
    notes = "".join(f"<div style='color:{MUTED}'>⚠ {html.escape(note)}</div>" for note in record.notes)
    rows = _rows(sweep, SHOWN_ROWS)
    more = len(sweep) - SHOWN_ROWS
    tail = f"<div style='color:{MUTED}'>… {more} more in sweep.table()</div>" if more > 0 else ""
    return (
        f"<div style='line-height:1.5'><div><b>{html.escape(record.label)}</b> {html.escape(record.name)} "
        f"<code>{record.id}</code></div>{head_html(sweep)}{notes}"
        f"<div style='border-top:1px solid {LINE};margin-top:4px;overflow-x:auto'>"
        f"{html_table(rows)}{tail}</div></div>"
    )


def sweep_text(sweep: Sweep) -> str:
    """Return a sweep as lines that read well in a terminal and in a diff."""
    record = sweep.record
    parts = [f"Sweep {record.id}", record.name, record.label, sweep.status, counts_text(sweep)]
    if sweep.eta_s is not None:
        parts.append(f"about {duration(sweep.eta_s)} left")
    lines = ["  ".join(part for part in parts if part), *(f"! {note}" for note in record.notes)]
    lines.append(text_table(_rows(sweep, SHOWN_IN_TEXT), longest=60))
    if len(sweep) > SHOWN_IN_TEXT:
        lines.append(f"… {len(sweep) - SHOWN_IN_TEXT} more in sweep.table()")
    return "\n".join(lines)
