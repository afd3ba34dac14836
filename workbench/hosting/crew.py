"""The workers of a host: which of them takes a run, how many are wanted, and which may go."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

from workbench.hosting.workers import WorkerHandle, WorkerStarter, resident_bytes

WORKER_IDLE_S = 300.0
SPARE_FOR_S = 60.0
CONDUCTORS = 16  # at once: each is a process of its own

#: The settings that a worker goes by; the others are asked by who starts runs, or by the host.
OF_WORKERS = (
    "storage_options",
    "durability",
    "compression",
    "log_level",
    "runner_cache",
    "data_cache",
    "session_folder",
    "session_spill",
    "session_items",
    "session_bytes",
    "session_quota",
    "session_spill_quota",
    "session_hours",
    "threads",
)

Key = tuple[str, str]


class Crew:
    """Workers: free, at work, or starting.

    Algorithms share workers, so that what they loaded stays warm. A notebook gets a worker that has done nothing yet, and that
    does nothing after it.

    Parameters
    ----------
    most : int
        Runs at once.
    settings : dict
        Settings of the workspace, for the workers.
    deliver : callable
        Called with each new worker, or why there is none, in another thread.
    """

    def __init__(
        self, most: int, settings: dict[str, Any], deliver: Callable[[WorkerHandle | Exception], None]
    ) -> None:
        self.most = most
        self.workers: set[WorkerHandle] = set()
        self._starting = 0
        self._has_outdated = False  # workers that go by former settings
        self._last_fresh = -math.inf  # when a notebook waited last
        self._starter = WorkerStarter(settings, deliver)

    @property
    def forks(self) -> bool:
        """Whether new workers are forked by now, and so are there in milliseconds."""
        return self._starter.is_warm

    def adopt(self, most: int, settings: dict[str, Any]) -> None:
        """Go by other settings from now on; who works on goes by those that it was started with, to the end of its run."""
        self.most = most
        if any(settings[name] != self._starter.settings[name] for name in OF_WORKERS):
            self._starter.settings = settings
            self._has_outdated = True

    def dismiss_outdated(self) -> None:
        """Send those away that are free and go by former settings."""
        if not self._has_outdated:
            return
        outdated = [w for w in self.workers if w.settings is not self._starter.settings]
        for worker in outdated:
            if worker.run_id is None and worker.is_ready:
                worker.send_away()
        self._has_outdated = self._starting > 0 or any(not w.is_leaving for w in outdated)

    @property
    def vacancies(self) -> int:
        """How many runs may begin now; who conducts a pipeline takes nobody's place."""
        return self.most - sum(w.run_id is not None and not w.conducts for w in self.workers)

    @property
    def batons(self) -> int:
        """How many pipelines may begin now."""
        return CONDUCTORS - sum(w.run_id is not None and w.conducts for w in self.workers)

    def choose_conductor(self) -> WorkerHandle | None:
        """Return the free worker that a pipeline is given, or None: one without Runners, for its nodes may need those."""
        free = [w for w in self.workers if w.run_id is None and w.is_ready and not w.loaded]
        return max(free, key=lambda w: (w.is_used, w.idle_since), default=None) if self.batons > 0 else None

    def choose(self, key: Key, *, fresh: bool) -> WorkerHandle | None:
        """Return the free worker that a run is given, or None."""
        free = [w for w in self.workers if w.run_id is None and w.is_ready and not (fresh and w.is_used)]
        if not free:
            return None
        # one that has the Runner; of those the one that was at work last: what it needs is still in the processor's caches
        return min(free, key=lambda w: (key not in w.loaded, not w.is_used, -w.idle_since))

    def want(self, runs: int, *, fresh: int) -> None:
        """See to it that workers come for so many runs that could begin, and spare ones for notebooks that wait."""
        moment = time.monotonic()
        if fresh:
            self._last_fresh = moment
        elif moment - self._last_fresh < SPARE_FOR_S:
            fresh = 1  # where one notebook was run, another one comes
        booting = self._starting + sum(not w.is_ready and not w.is_leaving for w in self.workers)
        spare = sum(w.is_ready and not w.is_used and w.run_id is None for w in self.workers)
        for _ in range(max(runs - booting, min(fresh, self.most) - spare - booting)):
            self._starting += 1
            self._starter.want()

    def take(self, worker: WorkerHandle) -> None:
        """Take a worker that was started."""
        self._starting -= 1
        self.workers.add(worker)

    def give_up_one(self) -> None:
        """Note that one could not be started."""
        self._starting -= 1

    def look(self, oom_kills: int) -> None:
        """Note how much memory workers have, and let those go that have been idle for long."""
        moment = time.monotonic()
        idle = [w for w in self.workers if w.run_id is None and w.is_ready]
        for worker in self.workers:
            worker.oom_kills = oom_kills
            if worker.run_id is not None:
                worker.rss = resident_bytes(worker.pid) or worker.rss
        for worker in idle[: max(0, len(self.workers) - 1)]:
            if moment - worker.idle_since > WORKER_IDLE_S:
                worker.send_away()

    def status(self) -> list[dict[str, Any]]:
        """Return what each worker does."""
        return [
            {
                "pid": w.pid,
                "run": w.run_id,
                "rss": resident_bytes(w.pid),
                "warm": len(w.loaded),
                "caches": w.caches,
            }
            for w in self.workers
        ]
