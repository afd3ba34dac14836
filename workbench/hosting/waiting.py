"""Runs that wait for their turn: by priority, then by time; a run whose slots are taken lets others pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from workbench.execution.slots import Needs


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
class Waiting:
    """The queue.

    Ids in the order in which they are to start; kept sorted by inserting behind the last one of the same priority.
    """

    _by_priority: dict[int, dict[str, Needs]] = field(default_factory=dict)

    def add(self, run_id: str, priority: int, needs: Needs) -> None:
        """Add a run behind those of its priority."""
        if priority not in self._by_priority:
            self._by_priority[priority] = {}
            self._by_priority = dict(sorted(self._by_priority.items(), reverse=True))
        self._by_priority[priority][run_id] = needs

    def remove(self, run_id: str) -> bool:
        """Take a run out; False if it does not wait."""
        return any(runs.pop(run_id, None) is not None for runs in self._by_priority.values())

    def next(self, slots: Slots, can_begin: Callable[[str], bool] = lambda run_id: True) -> str | None:
        """Take out the first run that can begin and whose slots are free, take them, and return its id."""
        for runs in self._by_priority.values():
            for run_id, needs in runs.items():
                if slots.fit(needs) and can_begin(run_id):
                    slots.take(needs)
                    del runs[run_id]
                    return run_id
        return None

    def could_begin(self, slots: Slots, most: int) -> list[str]:
        """Return up to so many runs whose slots are free, in the order in which they are to start."""
        found: list[str] = []
        for runs in self._by_priority.values():
            for run_id, needs in runs.items():
                if len(found) == most:
                    return found
                if slots.fit(needs):
                    found.append(run_id)
        return found

    def __len__(self) -> int:
        return sum(len(runs) for runs in self._by_priority.values())
