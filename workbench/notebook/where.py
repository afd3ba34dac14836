"""Where this kernel is: its IPython shell, what is in the user's namespace, and for which notebook it runs."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from workbench import settings


def shell() -> Any | None:
    """Return the IPython shell of this process, or None outside of IPython."""
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython is not None else None


def namespace() -> Mapping[str, Any]:
    """Return the user's variables, live; empty outside of IPython."""
    found = shell()
    return found.user_ns if found is not None else {}


def notebook(
    environ: Mapping[str, str] | None = None, variables: Mapping[str, Any] | None = None
) -> str | None:
    """Return the path of this kernel's notebook as Jupyter or VS Code tell it, or None where none does.

    Parameters
    ----------
    environ : mapping, optional
        The environment; default: that of the process.
    variables : mapping, optional
        The user's namespace, where VS Code leaves a note; default: that of the shell.
    """
    from_server = settings.notebook_path(environ)
    if from_server is not None:
        return from_server
    noted = (namespace() if variables is None else variables).get("__vsc_ipynb_file__")
    return noted if isinstance(noted, str) and noted else None
