"""The report of a sweep: one page with the table, charts, thumbnails and errors, and each notebook as a page."""

from __future__ import annotations

import html
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.batch import charts
from workbench.batch.notebook_html import failing_cell, notebook_page, page, plain_text
from workbench.batch.places import join, read_text, write_text
from workbench.library.picture import small
from workbench.library.recorded import kind_of, summary_of, thumbnail_of
from workbench.models import now
from workbench.pages import cell_text

if TYPE_CHECKING:
    from nbformat import NotebookNode

Row = Mapping[str, Any]

_MOST_CHARTS = 6
_FEW_CHARACTERS = 20  # that stay on one line
_FEW = 16  # words that an axis has room for
_MOST_THUMBNAILS = 4  # of one run, in the table
_MOST_LINES = 40  # of a traceback

_SCRIPT = """
const table = document.querySelector("table.runs"), body = table && table.tBodies[0];
document.querySelectorAll("th button").forEach((button) => button.addEventListener("click", () => {
  const head = button.parentElement, at = head.cellIndex, down = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
  table.querySelectorAll("th").forEach((other) => other.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort", down > 0 ? "ascending" : "descending");
  const key = (row) => row.cells[at].dataset.key ?? row.cells[at].textContent;
  const compare = (a, b) => { const x = Number(a), y = Number(b);
    return a !== "" && b !== "" && !isNaN(x) && !isNaN(y) ? x - y : a.localeCompare(b); };
  [...body.rows].sort((a, b) => down * compare(key(a), key(b))).forEach((row) => body.append(row));
}));
document.querySelectorAll("button.chip").forEach((button) => button.addEventListener("click", () => {
  const on = button.getAttribute("aria-pressed") !== "true";
  document.querySelectorAll("button.chip").forEach((other) => other.setAttribute("aria-pressed", "false"));
  button.setAttribute("aria-pressed", String(on));
  for (const row of body.rows) row.hidden = on && row.dataset.status !== button.dataset.status;
}));
"""


def write_report(
    rows: Iterable[Row], place: str | os.PathLike[str], *, title: str = "Sweep", axes: Sequence[str] = ()
) -> str:
    """Write the report of many runs and return where its first page is.

    ``index.html`` has counts, charts of recorded numbers over the parameters that vary, a table of all runs with thumbnails of
    what they recorded, and the failing cell of each failed one; ``notebooks/<id>.html`` are the executed notebooks.
    No page needs the network.

    Parameters
    ----------
    rows : iterable of dict
        One per run: ``id``, ``parameters``, ``status``, ``seconds``, ``records`` (as `records_of` gives them), ``error`` (text, a
        mapping or record with ``type``, ``message`` and ``traceback``, or None) and ``notebook`` (a notebook, its path or URL, or None).
    place : str or path
        A folder, or any fsspec URL of one.
    title : str
    axes : sequence of str, optional
        Parameters of the charts, the first ones first; default: those that vary.

    Raises
    ------
    ReadOnlyError, StorageError
        If the place does not take it.
    """
    rows = list(rows)
    pages: dict[str, str] = {}
    notebooks: dict[str, NotebookNode] = {}
    for row in rows:
        notebook = _notebook(row.get("notebook"))
        if notebook is None:
            continue
        name = f"notebooks/{_file_name(row['id'])}.html"
        back = '<p><a href="../index.html">← All runs</a></p>'
        where = ", ".join(f"{key} = {cell_text(value)}" for key, value in row.get("parameters", {}).items())
        note = f'<p class="muted">{html.escape(where)}</p>' if where else ""
        write_text(
            join(place, *name.split("/")), notebook_page(notebook, f"{title}: {row['id']}", head=back + note)
        )
        pages[str(row["id"])], notebooks[str(row["id"])] = name, notebook
    return write_text(join(place, "index.html"), _index(rows, title, list(axes), pages, notebooks))


def _index(
    rows: Sequence[Row],
    title: str,
    axes: list[str],
    pages: Mapping[str, str],
    notebooks: Mapping[str, NotebookNode],
) -> str:
    varying, same = _split_parameters(rows)
    body = [f"<h1>{html.escape(title)}</h1>", _facts(rows), _chips(rows)]
    if same and rows:
        texts = ", ".join(f"{name} = {cell_text(value) or value}" for name, value in same.items())
        body.append(f'<p class="muted">The same in all runs: {html.escape(texts)}</p>')
    errors = _errors(rows, varying, pages, notebooks)
    if errors:
        body.append('<p><a href="#errors">What went wrong ↓</a></p>')
    body += [_charts(rows, axes or _axes(rows, varying)), _table(rows, varying, pages), errors]
    return page(title, "".join(body), _SCRIPT)


def _facts(rows: Sequence[Row]) -> str:
    seconds = [row["seconds"] for row in rows if row.get("seconds") is not None]
    spent = (
        f", {_duration(sum(seconds))} in all, {_duration(sum(seconds) / len(seconds))} each"
        if seconds
        else ""
    )
    count = f"{len(rows)} run{'' if len(rows) == 1 else 's'}"
    return f'<p class="muted">{count}{spent}. Written {cell_text(now())}.</p>'


def _chips(rows: Sequence[Row]) -> str:
    counts = Counter(str(row["status"]) for row in rows)
    chips = "".join(
        f'<button class="chip" aria-pressed="false" data-status="{html.escape(status)}">'
        f'<span class="{html.escape(status)}">●</span> {count} {html.escape(status.lower())}</button>'
        for status, count in counts.most_common()
    )
    return f'<div class="chips">{chips}</div>'


def _charts(rows: Sequence[Row], axes: Sequence[str]) -> str:
    recorded = {name: [_recorded(row, name) for row in rows] for name in _record_names(rows)}
    is_recorded = any(_is_number(value) for values in recorded.values() for value in values)
    shown = recorded if is_recorded else {"time, s": [row.get("seconds") for row in rows]}
    drawn = []
    for name, values in shown.items():
        points = [
            (row.get("parameters", {}), float(value))
            for row, value in zip(rows, values, strict=True)
            if _is_number(value) and set(axes) <= set(row.get("parameters", {}))
        ]
        svg, over = charts.chart(points, axes)
        if svg:
            drawn.append(
                f'<figure class="chart"><figcaption>{html.escape(name)} <span>{html.escape(over)}</span></figcaption>{svg}</figure>'
            )
        if len(drawn) == _MOST_CHARTS:
            break
    if not drawn:
        return ""
    drawn = [drawn[0].replace('class="chart"', 'class="chart one"')] if len(drawn) == 1 else drawn
    title = "Recorded numbers" if is_recorded else "What it took"
    return f'<h2>{title}</h2><div class="charts">{"".join(drawn)}</div>'


def _table(rows: Sequence[Row], varying: Sequence[str], pages: Mapping[str, str]) -> str:
    if not rows:
        return "<p>No runs.</p>"
    records = _record_names(rows)
    has_pictures = {name: any(_pictures(_recorded(row, name)) for row in rows) for name in records}
    numeric = {
        name: all(_is_number(_recorded(row, name)) for row in rows if _recorded(row, name) is not None)
        for name in records
    }
    heads = ["run", "status", *varying, *records, "time"]
    right = {"time", *(n for n in records if numeric[n]), *(n for n in varying if _all_numbers(rows, n))}
    head = "".join(
        f'<th{_class(name in right)}><button type="button">{html.escape(name)}</button></th>'
        for name in heads
    )
    lines = []
    for row in rows:
        status = str(row["status"])
        cells = [
            ("run", _link(str(row["id"]), pages), str(row["id"])),
            ("status", _status(status, str(row["id"]) if row.get("error") else ""), status),
        ]
        for name in varying:
            value = row.get("parameters", {}).get(name)
            cells.append((name, html.escape(cell_text(value)), _sort_key(value)))
        for name in records:
            value = _recorded(row, name)
            content = _thumbnails(value, pages.get(str(row["id"])), name) if has_pictures[name] else ""
            text = "" if value is None else html.escape(summary_of(value))
            text = f'<span class="few">{text}</span>' if 0 < len(text) <= _FEW_CHARACTERS else text
            cells.append((name, content or text, _sort_key(value)))
        seconds = row.get("seconds")
        cells.append(("time", "" if seconds is None else _duration(seconds), _sort_key(seconds)))
        columns = "".join(
            f'<td{_class(name in right)} data-label="{html.escape(name)}" data-key="{html.escape(key)}">{content}</td>'
            for name, content, key in cells
        )
        lines.append(f'<tr data-status="{html.escape(status)}">{columns}</tr>')
    return (
        '<h2>Runs</h2><div class="scroll"><table class="runs">'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
    )


def _errors(
    rows: Sequence[Row],
    varying: Sequence[str],
    pages: Mapping[str, str],
    notebooks: Mapping[str, NotebookNode],
) -> str:
    shown = []
    for row in rows:
        id = str(row["id"])
        found = failing_cell(notebooks[id]) if id in notebooks else None
        error = row.get("error")
        if not error and (found is None or str(row["status"]) == "COMPLETED"):
            continue
        said, trace = _error_text(error, found)
        where = ", ".join(f"{name} = {cell_text(row.get('parameters', {}).get(name))}" for name in varying)
        at, source = "", ""
        if found is not None:
            position, cell, _ = found
            anchor = f"{pages[id]}#cell-id={cell.get('id', '')}"
            at = f' in <a href="{html.escape(anchor)}">cell {position + 1}</a>'
            source = f"<pre>{html.escape(cell.source)}</pre>"
        kept = trace.splitlines()[-_MOST_LINES:]
        details = (
            f"<details><summary>Traceback</summary><pre>{html.escape(chr(10).join(kept))}</pre></details>"
        )
        shown.append(
            f'<div class="error" id="error-{html.escape(_file_name(id))}"><p>{_link(id, pages)} <span class="muted">{html.escape(where)}</span></p>'
            f"<p><b>{html.escape(said)}</b>{at}</p>{source}{details if trace else ''}</div>"
        )
    return f'<h2 id="errors">Errors</h2>{"".join(shown)}' if shown else ""


def _error_text(error: Any, found: tuple[int, NotebookNode, NotebookNode] | None) -> tuple[str, str]:
    """Return an error in one line, and its traceback."""
    if isinstance(error, str):
        line, _, rest = plain_text(error).strip().partition("\n")
        return line, rest
    if error:
        get = (
            error.get
            if isinstance(error, Mapping)
            else lambda name, default="": getattr(error, name, default)
        )
        type_, message = get("type", ""), get("message", "")
        if found is not None:  # then the cell is named beside it
            message = message.replace(f", at {get('phase', '')}", "", 1)
        said = f"{type_}: {message}" if type_ and message else str(type_ or message or error)
        return plain_text(said), plain_text(get("traceback", "") or "")
    if found is None:
        return "", ""
    output = found[2]
    return plain_text(f"{output.ename}: {output.evalue}"), plain_text("\n".join(output.traceback))


def _split_parameters(rows: Sequence[Row]) -> tuple[list[str], dict[str, Any]]:
    """Return the names of the parameters that vary, and those that are the same in all runs."""
    names = list(dict.fromkeys(name for row in rows for name in row.get("parameters", {})))
    values = {name: [row.get("parameters", {}).get(name) for row in rows] for name in names}
    varying = [name for name in names if any(value != values[name][0] for value in values[name])]
    return varying, {name: values[name][0] for name in names if name not in varying}


def _axes(rows: Sequence[Row], varying: Sequence[str]) -> list[str]:
    """Return the parameters that make good axes: those of numbers first, then those of few values."""
    numbers = [name for name in varying if _all_numbers(rows, name)]
    few = [
        name
        for name in varying
        if name not in numbers and len({repr(row.get("parameters", {}).get(name)) for row in rows}) <= _FEW
    ]
    return numbers + few


def _record_names(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row.get("records") or {}))


def _recorded(row: Row, name: str) -> Any:
    return (row.get("records") or {}).get(name)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _all_numbers(rows: Sequence[Row], name: str) -> bool:
    return all(_is_number(row.get("parameters", {}).get(name)) for row in rows)


def _pictures(value: Any) -> list[Any]:
    members = value if isinstance(value, list) else [value]
    return [member for member in members if kind_of(member) and thumbnail_of(member)]


def _thumbnails(value: Any, page_: str | None, name: str) -> str:
    images = []
    for member in _pictures(value)[-_MOST_THUMBNAILS:]:
        kind, data = small(thumbnail_of(member) or b"")
        text = html.escape(f"{name}: {summary_of(member)}")
        image = f'<img loading="lazy" alt="{text}" title="{text}" src="data:image/{kind};base64,{data}">'
        images.append(f'<a href="{html.escape(page_)}">{image}</a>' if page_ else image)
    return f'<div class="thumbs">{"".join(images)}</div>' if images else ""


def _status(status: str, id: str) -> str:
    """Return the state of a run; of one with an error, a link to it."""
    shown = f'<span class="status {html.escape(status)}">● {html.escape(status.lower())}</span>'
    return f'<a href="#error-{html.escape(_file_name(id))}">{shown}</a>' if id else shown


def _link(id: str, pages: Mapping[str, str]) -> str:
    text = f'<span class="nowrap">{html.escape(id)}</span>'
    return f'<a href="{html.escape(pages[id])}">{text}</a>' if id in pages else text


def _class(is_right: bool) -> str:
    return ' class="n"' if is_right else ""


def _sort_key(value: Any) -> str:
    return repr(value) if _is_number(value) else "" if value is None else str(summary_of(value))


def _duration(seconds: float) -> str:
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def _file_name(id: Any) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", str(id)).strip(".") or "run"


def _notebook(given: Any) -> NotebookNode | None:
    if not given or (isinstance(given, Path) and not given.exists()):
        return None
    if isinstance(given, (str, os.PathLike)):
        from workbench.batch.template import read_notebook

        return read_notebook(read_text(given), os.fspath(given))
    import nbformat

    return given if isinstance(given, nbformat.NotebookNode) else nbformat.from_dict(given)
