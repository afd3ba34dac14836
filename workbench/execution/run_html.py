"""A run as HTML and as text: the pieces that live views and stored outputs share."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from workbench.execution.pace import duration
from workbench.execution.reuse import origin
from workbench.models import RunRecord, RunStatus, now
from workbench.theme import COLORS, ERROR, MONO, MUTED

if TYPE_CHECKING:
    from workbench.library.dataset import Dataset

SHOWN_OUTPUTS = 12
_STAMPED = re.compile(r"\d{4}-\d\d-\d\d (\d\d:\d\d:\d\d)\.\d{3}\S* (\w+) (.*)", re.DOTALL)


def elapsed(record: RunRecord) -> str:
    """Return how long the run has taken so far, or took: ``0.42 s``, ``3 min 05 s``; empty before it starts."""
    if record.started is None:
        return ""
    seconds = max(0.0, ((record.finished or now()) - record.started).total_seconds())
    if seconds < 10:
        return f"{seconds:.2f} s" if record.finished else f"{seconds:.0f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


def badge(status: RunStatus) -> str:
    """Return the state on its colour."""
    style = "color:#fff;border-radius:3px;padding:1px 7px;font-size:11px;font-weight:600"
    return f'<span class="wb-badge" style="{style};background:{COLORS[status]}">{status}</span>'


def head_html(
    record: RunRecord,
    fraction: float,
    message: str,
    *,
    eta_s: float | None = None,
    silence_s: float | None = None,
) -> str:
    """Return one line: state, bar, per cent, time, how long it still takes, and what the run is doing."""
    percent = f"{max(0.0, min(1.0, fraction)):.0%}"
    bar = (
        f'<div class="wb-bar" role="progressbar" aria-valuenow="{percent[:-1]}" aria-valuemin="0" aria-valuemax="100">'
        f'<div style="width:{percent};background:{COLORS[record.status]}"></div></div>'
    )
    left = "" if eta_s is None else f'<span class="wb-figure wb-eta">about {duration(eta_s)} left</span>'
    if silence_s is not None:
        left = f'<span class="wb-figure wb-silent">⚠ no sign of life for {duration(silence_s)}</span>'
    return (
        f'<div class="wb-run">{badge(record.status)}{bar}<span class="wb-figure">{percent}</span>'
        f'<span class="wb-figure">{elapsed(record)}</span>{left}'
        f'<span class="wb-now" title="{html.escape(message)}">{html.escape(message)}</span></div>'
    )


def log_html(lines: Iterable[str], search: str = "") -> str:
    """Return log lines with the time of day, warnings and errors coloured, what was searched for marked."""
    return f"<pre>{''.join(_log_line(line, search) for line in lines)}</pre>"


def _log_line(line: str, search: str) -> str:
    stamped = _STAMPED.fullmatch(line)
    if stamped is None:
        return _marked(line, search) + "\n"
    time, level, text = stamped.groups()
    color = {"WARNING": COLORS[RunStatus.CANCELLED], "ERROR": ERROR, "CRITICAL": ERROR}.get(level, "inherit")
    name = "" if level in {"INFO", "PRINT"} else f"{level} "
    stamp = f'<span style="color:{MUTED}">{time}</span>'
    return f'{stamp} <span style="color:{color}">{_marked(name + text, search)}</span>\n'


def _marked(text: str, search: str) -> str:
    if not search:
        return html.escape(text)
    parts = re.split(f"({re.escape(search)})", text, flags=re.IGNORECASE)
    return "".join(f"<mark>{html.escape(p)}</mark>" if i % 2 else html.escape(p) for i, p in enumerate(parts))


def error_html(record: RunRecord) -> str:
    """Return the true error with its traceback folded; empty if there is none."""
    error = record.error
    if error is None:
        return ""
    where = f" <span style='color:{MUTED}'>in {html.escape(error.phase)}</span>" if error.phase else ""
    fold = (
        f"<details><summary style='cursor:pointer;color:{MUTED}'>Traceback</summary>"
        f"<pre style='font-family:{MONO}'>{html.escape(error.traceback)}</pre></details>"
        if error.traceback
        else ""
    )
    return (
        f"<div style='color:{ERROR};white-space:pre-wrap;overflow-wrap:anywhere'><b>{html.escape(error.type)}</b>: "
        f"{html.escape(error.message)}{where}</div>{fold}"
    )


def outputs_html(outputs: Sequence[Dataset | str]) -> str:
    """Return the outputs beside each other, datasets with their thumbnails; the first twelve."""
    if not outputs:
        return ""
    # as wide as a picture or a matrix is; the text below wraps, so that several stand in a row
    cell = '<div style="width:min-content;min-width:256px">'
    cells = "".join(f"{cell}{_output_html(output)}</div>" for output in outputs[:SHOWN_OUTPUTS])
    left = len(outputs) - SHOWN_OUTPUTS
    more = f"<div style='color:{MUTED}'>… {left} more in run.outputs</div>" if left > 0 else ""
    style = "display:flex;flex-wrap:wrap;gap:12px;margin-top:6px"
    return f'<div class="wb-outputs" style="{style}">{cells}{more}</div>'


def _output_html(output: Any) -> str:
    if not hasattr(output, "_repr_mimebundle_"):
        text = output if isinstance(output, str) else repr(output)
        return f"<pre style='font-family:{MONO}'>{html.escape(text)}</pre>"
    try:
        bundle = output._repr_mimebundle_()
    except Exception as error:  # a deleted or damaged dataset must not hide the others
        return f"<div style='color:{ERROR}'>{html.escape(f'{type(error).__name__}: {error}')}</div>"
    if isinstance(bundle, tuple):
        bundle = bundle[0]
    return str(bundle.get("text/html") or f"<pre>{html.escape(str(bundle.get('text/plain', output)))}</pre>")


def pace_html(
    record: RunRecord, fraction: float, message: str, *, eta_s: float | None, silence_s: float | None
) -> str:
    """Return how far a run is that goes on, as a line that needs no style sheet; empty for one that has ended or waits."""
    if record.status.is_final or (record.started is None and not fraction):
        return ""
    percent = f"{max(0.0, min(1.0, fraction)):.0%}"
    box = "display:inline-block;height:6px;border-radius:3px;vertical-align:middle"
    bar = (
        f'<span style="{box};width:160px;margin-right:8px;background:rgba(128,128,128,.25)">'
        f'<span style="{box};vertical-align:top;width:{percent};background:{COLORS[record.status]}"></span></span>'
    )
    facts = [percent, "" if eta_s is None else f"about {duration(eta_s)} left", message]
    if silence_s is not None:
        facts[1] = f"⚠ no sign of life for {duration(silence_s)}"
    return f"<div>{bar}{' · '.join(html.escape(fact) for fact in facts if fact)}</div>"


def run_html(
    record: RunRecord, outputs: Sequence[Dataset | str] = (), pace: str = "", *, drawn: str = ""
) -> str:
    """Return a run as static HTML that needs no widgets and fits light and dark themes.

    Parameters
    ----------
    record : RunRecord
    outputs : sequence of Dataset or str
        Shown with their thumbnails.
    pace : str
        How far it is, of `pace_html`.
    drawn : str
        Of a pipeline, its nodes as a picture.
    """
    values = ", ".join(f"{name}={value!r}" for name, value in record.parameters.items())
    place = f"{len(record.nodes)} nodes" if record.nodes else f"on {record.device}"
    where = (origin(record),) if record.reused_from else (elapsed(record), place)
    facts = [html.escape(fact) for fact in (*where, values) if fact]
    warned = "".join(f"<div style='color:{MUTED}'>⚠ {html.escape(text)}</div>" for text in record.warnings)
    return (
        f"<div style='line-height:1.5'><div><b>{html.escape(record.algorithm)}</b> {badge(record.status)} "
        f"<code>{record.id}</code></div><div style='color:{MUTED}'>{' · '.join(facts)}</div>"
        f"{pace}{drawn}{error_html(record)}{warned}{outputs_html(outputs)}</div>"
    )


def run_text(record: RunRecord) -> str:
    """Return a run as lines that read well in a terminal and in a diff."""
    lines = [f"{record.algorithm}  {record.status}  {record.id}"]
    if record.status is RunStatus.COMPLETED:
        place = f"{len(record.nodes)} nodes" if record.nodes else f"on {record.device}"
        lines[0] += "  " + (origin(record) or f"{elapsed(record)} {place}")
    for node in record.nodes:
        took = "" if node.seconds is None or node.reused else f"  {node.seconds:.2f} s"
        lines.append(f"  {node.name:20} {node.status}{', reused' if node.reused else ''}{took}")
    lines += [f"  {name} = {value!r}" for name, value in record.parameters.items()]
    lines += [
        f"  → {output.dataset or (repr(output.value) if output.is_value else output.text or output.held)}"
        for output in record.outputs
    ]
    if record.error is not None:
        lines.append(f"  {record.error.type}: {record.error.message}")
    return "\n".join(lines)
