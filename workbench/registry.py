"""Plug-ins by name: a name maps to ``"package.module:Class"``, which is imported on first use."""

from __future__ import annotations

import warnings
from importlib import import_module
from typing import Any

from workbench.errors import NotFoundError, UnsupportedError, did_you_mean


class Registry:
    """Names of one kind of plug-in.

    Parameters
    ----------
    what : str
        The kind, for messages: "executor".
    group : str
        Entry-point group from which other packages add names; looked up only when a name is not built in.
    builtin : dict
        Name to ``"package.module:Class"``.

    >>> Registry("codec", "x.codecs", {"json": "json:JSONEncoder"}).get("json").__name__
    'JSONEncoder'
    """

    def __init__(self, what: str, group: str, builtin: dict[str, str]) -> None:
        self.what = what
        self.group = group
        self._builtin = dict(builtin)

    def names(self) -> list[str]:
        """Return all known names, built-in ones first."""
        return [*self._builtin, *(n for n in self._entry_points() if n not in self._builtin)]

    def get(self, name: str) -> Any:
        """Return the class behind a name.

        Raises
        ------
        NotFoundError
            With the known names.
        UnsupportedError
            If the plug-in is known and cannot be imported.
        """
        if name in self._builtin:
            module, _, attribute = self._builtin[name].partition(":")
            return getattr(import_module(module), attribute)
        found = self._entry_points()
        if name not in found:
            raise NotFoundError(
                f"There is no {self.what} {name!r}. Known: {', '.join(self.names())}."
                f"{did_you_mean(name, self.names())}"
            )
        try:
            return found[name].load()
        except Exception as error:
            raise UnsupportedError(
                f"The {self.what} {name!r} of package {found[name].value!r} cannot be imported: {error}. "
                "Update or remove that package."
            ) from error

    def _entry_points(self) -> dict[str, Any]:
        from importlib.metadata import entry_points

        try:
            return {e.name: e for e in entry_points(group=self.group)}
        except Exception as error:  # one broken distribution must not stop the rest
            warnings.warn(f"Plug-ins of group {self.group!r} cannot be listed: {error}", stacklevel=2)
            return {}
