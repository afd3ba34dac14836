"""Objects with threads and locks that begin anew in a forked process: the threads did not come along, and nobody opens their locks."""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet


class Forked(Protocol):
    """What has something to forget after a fork."""

    def begin_anew(self) -> None:
        """Forget what is the parent's; called in the child, before anything else."""


_known: WeakSet[Forked] = WeakSet()


def remember(what: Forked) -> None:
    """Let an object begin anew in each process that is forked from this one."""
    _known.add(what)


def _begin_anew() -> None:
    for what in list(_known):
        what.begin_anew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)
