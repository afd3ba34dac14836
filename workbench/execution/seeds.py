"""The random numbers of a run: ``random``, numpy and torch begin from the run's seed, and are given back as they were."""

from __future__ import annotations

import importlib
import os
import random
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from contextvars import ContextVar, Token
from functools import partial
from types import TracebackType
from typing import Any, Self

_LOCK = threading.Lock()
_RUNNING: list[Seeded] = []
_SPARE: list[
    Any
] = []  # numpy generators to put in the place of the user's: a new one costs fifty times a seeding


def new_seed() -> int:
    """Return a seed that numpy's ``RandomState`` takes too: 32 bits."""
    return int.from_bytes(os.urandom(4), "big")


def seed_of(digest: str) -> int:
    """Return the seed that belongs to a digest: what is loaded once for many runs begins from its content."""
    return int(digest[:8] or "0", 16)


class UserState:
    """The random state that the user of this process had, which comes back at the end of the block.

    Runs in it take the state without keeping it each time: to keep numpy's takes longer than to begin from a seed.
    """

    def __init__(self) -> None:
        self._names: set[str] = set()
        self._back = ExitStack()
        self._token: Token[UserState | None]

    def take(self, name: str, keep: Callable[[], Callable[[], object]]) -> None:
        """Keep the state of a library, unless it is kept already."""
        if name not in self._names:
            self._names.add(name)
            self._back.callback(keep())

    def give_back(self) -> None:
        """Bring back what was kept."""
        self._back.close()

    def __enter__(self) -> Self:
        self._token = _KEPT.set(self)
        return self

    def __exit__(self, *args: object) -> None:
        _KEPT.reset(self._token)
        self.give_back()


#: Of the block that this thread is in.
_KEPT: ContextVar[UserState | None] = ContextVar("workbench_user_state", default=None)


class Seeded:
    """The random state of this process while a run has it.

    Only a run of the main thread takes it: one in another thread would take it away from the cells that go on meanwhile, so
    it draws from what there is. What the user had comes back at the end.

    Parameters
    ----------
    gives_back : bool
        False in a process that has no user.
    """

    def __init__(self, *, gives_back: bool = True) -> None:
        self._thread = threading.get_ident()
        self._takes = threading.current_thread() is threading.main_thread()
        self._is_alone = self._takes
        self._gives_back = gives_back
        self._names: list[str] = []
        self._state = UserState()

    @property
    def names(self) -> tuple[str, ...]:
        """The libraries whose random numbers came from the seed, and went to this run alone."""
        return tuple(self._names) if self._is_alone else ()

    def start(self, seed: int) -> None:
        """Begin from a seed; torch only if it is imported, CUDA only if it is in use."""
        if not self._takes:
            return
        from numpy import random as numpy_random

        self._take("random", lambda: partial(random.setstate, random.getstate()))
        random.seed(seed)
        self._take("numpy", _keep_numpy)
        numpy_random.seed(seed)
        torch = sys.modules.get("torch")
        if torch is None or not hasattr(torch, "default_generator"):  # not there, or half imported
            return
        self._take("torch", lambda: partial(torch.set_rng_state, torch.get_rng_state()))
        torch.default_generator.manual_seed(seed)
        if torch.cuda.is_initialized():
            self._take("cuda", lambda: partial(torch.cuda.set_rng_state_all, torch.cuda.get_rng_state_all()))
            torch.cuda.manual_seed_all(seed)

    def _take(self, name: str, keep: Callable[[], Callable[[], object]]) -> None:
        if name not in self._names:
            self._names.append(name)
            if self._gives_back:
                (_KEPT.get() or self._state).take(name, keep)

    def __enter__(self) -> Self:
        with _LOCK:
            for other in _RUNNING:
                if other._thread != self._thread:  # each draws from what the other draws from
                    other._is_alone = self._is_alone = False
            _RUNNING.append(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with _LOCK:
            _RUNNING.remove(self)
        self._state.give_back()


def _keep_numpy() -> Callable[[], object]:
    """Put another generator in the place of numpy's; return what puts the user's back."""
    numpy_random: Any = importlib.import_module("numpy.random")
    before = numpy_random.get_bit_generator()
    state = numpy_random.get_state(legacy=False)
    mine = _SPARE.pop() if _SPARE else numpy_random.MT19937(0)
    numpy_random.set_bit_generator(mine)

    def give_back() -> None:
        numpy_random.set_bit_generator(before)
        if state["has_gauss"]:  # numpy keeps every second normal number beside the generator
            numpy_random.set_state(state)
        _SPARE.append(mine)

    return give_back
