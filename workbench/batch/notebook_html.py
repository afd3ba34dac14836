"""An executed notebook as one HTML page that needs no network: readable on a phone, in light and dark."""

from __future__ import annotations

import html
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nbformat import NotebookNode

_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07")
_FETCHED = re.compile(
    r"<script\b[^>]*\bsrc\s*=[^>]*>\s*</script\s*>|<link\b[^>]*\bhref\s*=\s*[\"']?(?:https?:)?//[^>]*>",
    re.IGNORECASE,
)
_FALLBACK_ALT = 'alt="No description has been provided for this image"'


@cache
def stylesheet() -> str:
    """Return the style of reports and notebooks."""
    return Path(__file__).with_name("report.css").read_text(encoding="utf-8")


def page(title: str, body: str, script: str = "") -> str:
    """Return a whole page around a body."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{stylesheet()}</style></head>"
        f"<body><main>{body}</main>{f'<script>{script}</script>' if script else ''}</body></html>\n"
    )


def notebook_page(notebook: NotebookNode, title: str, *, head: str = "") -> str:
    """Return an executed notebook as a page: nbconvert's plain template in our style.

    What would be fetched from elsewhere (scripts of interactive plots) is taken out; their data and pictures stay.

    Parameters
    ----------
    notebook : NotebookNode
    title : str
        Of the browser's tab.
    head : str
        HTML above the cells, such as a link back.
    """
    body, _ = _exporter().from_notebook_node(notebook)
    body = _FETCHED.sub("", body).replace(_FALLBACK_ALT, 'alt="" loading="lazy"')
    return page(title, f'{head}<div class="notebook">{body}</div>')


def failing_cell(notebook: NotebookNode) -> tuple[int, NotebookNode, NotebookNode] | None:
    """Return position, cell and output of the error that ended a notebook; None if none did."""
    for position, cell in reversed(list(enumerate(notebook.cells))):
        for output in cell.get("outputs", ()):
            tags = cell.metadata.get("tags", ())
            if output.output_type == "error" and "raises-exception" not in tags:
                return position, cell, output
    return None


def plain_text(text: str) -> str:
    """Return a text without the colours of terminals."""
    return _ANSI.sub("", text)


@cache
def _exporter() -> Any:
    # making one takes 0.3 s, and a page 10 ms
    from nbconvert.exporters import HTMLExporter

    return HTMLExporter(template_name="basic", exclude_anchor_links=True)
