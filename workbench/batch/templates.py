"""The templates that a workspace keeps."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from workbench.batch.places import COLLECTION, SCHEME, is_url, key_of, read_text
from workbench.batch.template import AlgorithmsOf, Template, load_template, read_notebook, template_of
from workbench.errors import InvalidNameError, NotFoundError, did_you_mean
from workbench.models import ObjectInfo
from workbench.pages import Page
from workbench.storage.store import Store


class Templates:
    """Notebooks kept in the workspace: ``workbench://name.ipynb`` anywhere a template is named.

    Parameters
    ----------
    store : Store
    algorithms : callable, optional
        Returns the algorithms of the workspace, for templates that name one.
    """

    def __init__(self, store: Store, algorithms: AlgorithmsOf | None = None) -> None:
        self._store = store
        self._algorithms = algorithms

    def put(
        self, template: str | os.PathLike[str] | Template | Mapping[str, Any], name: str | None = None
    ) -> Template:
        """Keep a notebook under a name; one that is there is replaced.

        Parameters
        ----------
        template : str, path, Template or notebook
            A path, a URL, or the notebook itself.
        name : str, optional
            Default: that of the file.

        Raises
        ------
        InvalidTemplateError
            If it is no notebook, or its parameters are declared wrong; nothing is kept then.
        """
        import nbformat

        if isinstance(template, Template):
            text, source = nbformat.writes(template.notebook), template.source
        elif isinstance(template, Mapping):
            text, source = nbformat.writes(nbformat.from_dict(dict(template))), name or "untitled"
        else:
            text, source = read_text(template, self._store), os.fspath(template)
        place = SCHEME + key_of(name or Path(source.split("://")[-1]).name)
        made = template_of(read_notebook(text, source), place, algorithms=self._algorithms)
        self._store.create_collections([COLLECTION])  # a workspace that an older version made has none
        self._store.put(COLLECTION, key_of(place), text)
        return made

    def get(self, name: str) -> Template:
        """Return a template by its name, with or without the suffix.

        Raises
        ------
        NotFoundError
            With near names.
        """
        try:
            return load_template(SCHEME + key_of(name), self._store, algorithms=self._algorithms)
        except NotFoundError as error:
            raise self._not_found(name) from error

    def read(self, name: str) -> str:
        """Return the text of a notebook, be it a template or what became of one.

        Raises
        ------
        NotFoundError
            With near names.
        """
        place = SCHEME + key_of(name)
        try:
            return read_text(place, self._store)
        except NotFoundError as error:
            raise self._not_found(name) from error

    def load(self, ref: str | os.PathLike[str] | Template) -> Template:
        """Return the template that a path, a URL, or the name of one in the workspace means."""
        if (
            isinstance(ref, str)
            and not is_url(ref)
            and not Path(ref).expanduser().is_file()
            and self._has(ref)
        ):
            return self.get(ref)
        return load_template(ref, self._store, algorithms=self._algorithms)

    def list(self) -> Page[ObjectInfo]:
        """Return what is kept, by name."""
        return Page(
            self._infos(),
            lambda info: {"template": info.key, "changed": info.modified},
            what="templates",
            hint="Keep one: ws.templates.put('nightly.ipynb').",
        )

    def delete(self, name: str) -> None:
        """Delete a template.

        Raises
        ------
        NotFoundError
            If there is none of that name.
        """
        if not self._has(name) or not all(self._store.delete(COLLECTION, [key_of(name)])):
            raise self._not_found(name)

    def _infos(self) -> Sequence[ObjectInfo]:
        if not all(self._store.collections_exist([COLLECTION])):
            return []
        return [*self._store.list(COLLECTION)]

    def _has(self, name: str) -> bool:
        try:
            key = key_of(name)
        except InvalidNameError:  # an absolute path, say
            return False
        return all(self._store.collections_exist([COLLECTION])) and all(self._store.exist(COLLECTION, [key]))

    def _not_found(self, name: str) -> NotFoundError:
        known = [info.key for info in self._infos()]
        listed = ", ".join(known) or "none yet"
        return NotFoundError(
            f"There is no template {key_of(name)!r} in the workspace.{did_you_mean(key_of(name), known)} "
            f"It has: {listed}. Keep one: ws.templates.put('{key_of(name)}').",
            near=tuple(known[:5]),
        )
