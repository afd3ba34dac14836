"""Sessions: listed, looked at, emptied, dropped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.errors import (
    InvalidInputError,
)

if TYPE_CHECKING:
    from workbench.pages import Page
    from workbench.sessions import Session
    from workbench.sessions.listing import SessionInfo
    from workbench.workspace import Workspace


def session_words(
    workspace: Workspace, name: str | None, *, clear: bool = False, drop: bool = False
) -> Session | Page[SessionInfo]:
    """Return the sessions, or one after it was emptied; after a drop those that are left.

    Parameters
    ----------
    workspace : Workspace
    name : str, optional
        Nothing: all sessions.
    clear, drop : bool
        Remove the items of the session, or the session with them.

    Raises
    ------
    InvalidInputError
        If a session is to be emptied or dropped and none is named.
    NotFoundError
        If there is none of that name.
    """
    if name is None:
        if clear or drop:
            raise InvalidInputError("Which session? Name it, as in: %algosession tuning --clear.")
        return workspace.sessions.list()
    if drop:
        workspace.sessions.drop(name)
        return workspace.sessions.list()
    session = workspace.sessions.get(name)
    if clear:
        session.clear()
    return session
