"""What the commands of all files share: how the workspace of this call is opened, and how things are called in a terminal."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from workbench.errors import NotFoundError, StorageError

if TYPE_CHECKING:
    from workbench.workspace import Workspace

_MAGIC = re.compile(r"%(algo)?([a-z]+)\b")
#: magics by the command that does the same; of the others the command is called alike, without ``algo``
_COMMANDS = {"pipe": "pipeline"}
_SAME = (
    *(
        "batch",
        "checkout",
        "compare",
        "deploy",
        "describe",
        "export",
        "import",
        "jobs",
        "lineage",
        "links",
        "ls",
        "pipeline",
    ),
    *("replay", "retrain", "run", "session", "versions", "why"),
)


def open_workspace(ctx: click.Context, *, looks: bool = False) -> Workspace:
    """Open the workspace; a command that only looks makes none where there is none, for its name may be mistyped."""
    from workbench.settings import default_url, load
    from workbench.workspace import open as open_

    url: str | None = ctx.find_root().obj
    if looks:
        place = load({"url": url} if url else None)[0].url or default_url()
        if "://" not in place and not _is_there(Path(place).expanduser()):
            raise NotFoundError(
                f"There is no workspace {place}. Name another one with -w, or make it: workbench deploy FOLDER."
            )
    workspace = open_(url)
    ctx.call_on_close(workspace.close)
    return workspace


def _is_there(place: Path) -> bool:
    try:
        return place.exists()
    except OSError as error:
        raise StorageError(f"The workspace {place} cannot be reached: {error.strerror}.") from error


def in_terminal(text: str) -> str:
    """Return a message with the commands of a terminal where it names magics of a notebook.

    >>> in_terminal("See %algojobs last, or %versions.")
    'See workbench jobs last, or workbench versions.'
    """

    def command(match: re.Match[str]) -> str:
        name = _COMMANDS.get(match[2], match[2])
        return f"workbench {name}" if name in _SAME else match[0]

    return _MAGIC.sub(command, text)
