"""What the commands of all files share: how the workspace of this call is opened, and how things are called in a terminal."""

from __future__ import annotations

import re

#: where the outermost command leaves the function that opens the workspace
OPEN = "workbench.open"

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


def in_terminal(text: str) -> str:
    """Return a message with the commands of a terminal where it names magics of a notebook.

    >>> in_terminal("See %algojobs last, or %versions.")
    'See workbench jobs last, or workbench versions.'
    """

    def command(match: re.Match[str]) -> str:
        name = _COMMANDS.get(match[2], match[2])
        return f"workbench {name}" if name in _SAME else match[0]

    return _MAGIC.sub(command, text)
