"""Runs that wait for their turn: by priority, then by time; a run whose slots are taken lets others pass, for a while.

Of a group only so many have a turn at once; its others are held back, so that a single run never waits for all of a sweep.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from workbench.execution.slots import Needs

PATIENCE_S = 10.0  # so long a run lets those pass that take what it waits for


@dataclass
class Slots:
    """What is free beside workers: bytes of memory, and GPUs that one run has for itself.

    Parameters
    ----------
    memory : int
        Bytes that runs may declare together.
    """

    memory: int
    _used: int = 0
    _gpus: set[str] = field(default_factory=set)

    def fit(self, needs: Needs) -> bool:
        """Tell whether what a run needs is free. More memory than there is may be had alone."""
        if needs.gpu in self._gpus:
            return False
        return not self._used or self._used + needs.memory <= self.memory

    def take(self, needs: Needs) -> bool:
        """Take what a run needs, if it is free."""
        if not self.fit(needs):
            return False
        self._used += needs.memory
        if needs.gpu is not None:
            self._gpus.add(needs.gpu)
        return True

    def give_back(self, needs: Needs) -> None:
        """Free what a run had."""
        self._used -= needs.memory
        self._gpus.discard(needs.gpu or "")


@dataclass
class _Group:
    """Runs of which only ``most`` have a turn at once."""

    most: int
    held: dict[str, tuple[int, Needs]] = field(default_factory=dict)  # in the order of their turns
    out: set[str] = field(default_factory=set)  # those that have their turn: waiting for a worker, or running


@dataclass
class Waiting:
    """The queue.

    Ids in the order in which they are to start; kept sorted by inserting behind the last one of the same priority.

    Parameters
    ----------
    clock : callable
        Seconds.
    """

    clock: Callable[[], float] = time.monotonic
    _by_priority: dict[int, dict[str, Needs]] = field(default_factory=dict)
    _aside: dict[str, None] = field(default_factory=dict)
    _groups: dict[str, _Group] = field(default_factory=dict)
    _group_of: dict[str, str] = field(default_factory=dict)
    _since: dict[str, float] = field(
        default_factory=dict
    )  # when a run whose turn it was found its slots taken

    def add(self, run_id: str, priority: int, needs: Needs, group: str | None = None, most: int = 1) -> None:
        """Add a run behind those of its priority; of a group no more than ``most`` at once."""
        if group is None:
            self._insert(run_id, priority, needs)
            return
        found = self._groups.setdefault(group, _Group(most))
        found.most = most  # the newest word counts: a sweep may go on with more jobs
        found.held[run_id] = (priority, needs)
        self._group_of[run_id] = group
        self._release(found)

    def add_aside(self, run_id: str) -> None:
        """Add a run that takes no slot: it sees to others, which would wait for its end if it took theirs."""
        self._aside[run_id] = None

    def next_aside(self) -> str:
        """Take out the first of those that take no slot."""
        run_id = next(iter(self._aside))
        del self._aside[run_id]
        return run_id

    @property
    def aside(self) -> int:
        """How many of those wait that take no slot."""
        return len(self._aside)

    def remove(self, run_id: str) -> bool:
        """Take a run out; False if it does not wait."""
        if run_id in self._aside:
            del self._aside[run_id]
            return True
        group = self._groups.get(self._group_of.get(run_id, ""))
        if group is not None and group.held.pop(run_id, None) is not None:
            self.ended(run_id)
            return True
        found = any(runs.pop(run_id, None) is not None for runs in self._by_priority.values())
        if found:
            self._since.pop(run_id, None)
            self.ended(run_id)
        return found

    def next(self, slots: Slots, can_begin: Callable[[str], bool] = lambda run_id: True) -> str | None:
        """Take out the first run that can begin and whose slots are free, take them, and return its id."""
        for run_id, needs, runs in self._in_turn(slots):
            if can_begin(run_id):
                slots.take(needs)
                del runs[run_id]
                self._since.pop(run_id, None)
                return run_id
        return None

    def could_begin(self, slots: Slots, most: int) -> list[str]:
        """Return up to so many runs whose slots are free, in the order in which they are to start."""
        return [run_id for run_id, _, _ in islice(self._in_turn(slots), most)]

    def _in_turn(self, slots: Slots) -> Iterator[tuple[str, Needs, dict[str, Needs]]]:
        """Yield the runs whose slots are free, in order, with those of their priority.

        Who has lost patience is passed only by those that take nothing of what it waits for.
        """
        awaited: list[Needs] = []
        for runs in self._by_priority.values():
            for run_id, needs in runs.items():
                if not slots.fit(needs):
                    moment = self.clock()
                    if moment - self._since.setdefault(run_id, moment) >= PATIENCE_S:
                        awaited.append(needs)
                elif not any(needs.compete(other) for other in awaited):
                    yield run_id, needs, runs

    def ended(self, run_id: str) -> None:
        """Let the next of its group have its turn."""
        name = self._group_of.pop(run_id, None)
        group = self._groups.get(name or "")
        if name is None or group is None:
            return
        group.out.discard(run_id)
        self._release(group)
        if not group.out and not group.held:
            del self._groups[name]

    def held_of(self, group: str) -> list[str]:
        """Return the ids of a group's runs that have not had their turn."""
        return list(self._groups[group].held) if group in self._groups else []

    @property
    def held(self) -> int:
        """How many runs are held back."""
        return sum(len(group.held) for group in self._groups.values())

    def __len__(self) -> int:
        """Return how many runs could start if there were workers and slots."""
        return sum(len(runs) for runs in self._by_priority.values())

    def _release(self, group: _Group) -> None:
        while group.held and len(group.out) < group.most:
            run_id = next(iter(group.held))
            priority, needs = group.held.pop(run_id)
            group.out.add(run_id)
            self._insert(run_id, priority, needs)

    def _insert(self, run_id: str, priority: int, needs: Needs) -> None:
        if priority not in self._by_priority:
            self._by_priority[priority] = {}
            self._by_priority = dict(sorted(self._by_priority.items(), reverse=True))
        self._by_priority[priority][run_id] = needs
