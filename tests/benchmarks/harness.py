"""Contestants take turns in one run; medians and ratios to the limit are printed. No figure here fails a test.

Absolute times move with whatever else a machine does; the ratio of two figures taken in turn does not. Each round lets every
contestant run once, in an order that rotates, and the ratio is the median of the ratios of the rounds.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection

Figures = dict[str, float]  # metric -> seconds (or MB for metrics that begin with "MB")
Round = Callable[[], Figures]
SETTLE_S = 0.3  # for what the one before has left to do
_SPAWN = multiprocessing.get_context("spawn")


@dataclass
class Contest:
    """Contestants of one topic.

    Parameters
    ----------
    topic : str
        What is measured, one line.
    limit : str
        Name of the contestant that ratios are taken against.
    """

    topic: str
    limit: str
    contestants: dict[str, Callable[[], Figures]] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    targets: list[tuple[str, str, str, float]] = field(
        default_factory=list
    )  # contestant, metric, kind, at most
    _ends: list[Callable[[], None]] = field(default_factory=list)

    def add(self, name: str, run: Callable[[], Figures]) -> None:
        """Add a contestant: a function that does one round and returns its figures."""
        self.contestants[name] = run

    def add_apart(self, name: str, contestant: Callable[[], AbstractContextManager[Round]]) -> None:
        """Add a contestant in a process of its own, so that no threads or event loop of another are in its way.

        ``contestant`` is a function of a module: a context in which the function that it gives does one round. One whose
        packages are not installed is left out, by name.
        """
        ours, theirs = _SPAWN.Pipe()
        process = _SPAWN.Process(target=_perform, args=(theirs, contestant))
        process.start()
        theirs.close()
        missing = ours.recv()
        if missing:
            self.absent[name] = missing
            process.join()
            return

        def run() -> Figures:
            ours.send("go")
            return ours.recv()  # type: ignore[no-any-return]

        def end() -> None:
            ours.send("end")
            process.join()

        self._ends.append(end)
        self.contestants[name] = run

    @contextmanager
    def peer(self, name: str) -> Iterator[None]:
        """Leave a peer out, by name, when its package is not installed."""
        try:
            yield
        except ImportError as error:
            self.absent[name] = str(error)

    def target(
        self, contestant: str, metric: str, *, ratio: float | None = None, seconds: float | None = None
    ) -> None:
        """Print a figure's bound beside it: a ratio to the limit, or seconds."""
        if ratio is not None:
            self.targets.append((contestant, metric, "ratio", ratio))
        if seconds is not None:
            self.targets.append((contestant, metric, "value", seconds))

    def run(self, rounds: int = 5, warmup: int = 1) -> dict[str, dict[str, list[float]]]:
        """Let all take turns, print the table, return every figure."""
        names = list(self.contestants)
        figures: dict[str, dict[str, list[float]]] = {name: {} for name in names}
        for number in range(-warmup, rounds):
            turn = number % len(names)
            for name in names[turn:] + names[:turn]:
                gc.collect()
                time.sleep(SETTLE_S)
                for metric, value in self.contestants[name]().items():
                    if number >= 0:
                        figures[name].setdefault(metric, []).append(value)
        for end in self._ends:
            end()
        self._print(figures)
        return figures

    def _print(self, figures: dict[str, dict[str, list[float]]]) -> None:
        print(f"\n## {self.topic}\n   load {os.getloadavg()[0]:.1f}; ratios to: {self.limit}")
        metrics = list(dict.fromkeys(m for f in figures.values() for m in f))
        width = max(len(n) for n in figures) + 2
        for metric in metrics:
            print(f"\n{metric}")
            rows = [(n, f[metric]) for n, f in figures.items() if metric in f]
            base = figures[self.limit].get(metric)
            for name, values in sorted(rows, key=lambda row: statistics.median(row[1])):
                middle = statistics.median(values)
                ratio = None
                if base is not None:
                    pairs = [a / b for a, b in zip(values, base, strict=False) if b]
                    ratio = statistics.median(pairs) if pairs else None
                shown = f"{middle:10.4g} MB" if metric.startswith("MB") else f"{middle * 1e3:10.3f} ms"
                text = f"  {name:{width}}{shown}" + (f"  {ratio:8.2f} x" if ratio is not None else "")
                for who, what, kind, bound in self.targets:
                    if (who, what) == (name, metric):
                        got = ratio if kind == "ratio" else middle
                        scale = f"{bound:g} x" if kind == "ratio" else f"{bound * 1e3:g} ms"
                        text += f"   bound {scale}: {'ok' if got is not None and got <= bound else 'MISSED'}"
                print(text)
        for name, why in self.absent.items():
            print(f"  {name}: left out ({why})")


def _perform(connection: Connection, contestant: Callable[[], AbstractContextManager[Round]]) -> None:
    """Do rounds in this process when told."""
    with ExitStack() as stack:
        try:
            run = stack.enter_context(contestant())
        except ImportError as error:
            connection.send(str(error))
            return
        connection.send("")
        while connection.recv() == "go":
            gc.collect()
            connection.send(run())


def seconds(function: Callable[[], object]) -> float:
    """Return how long one call takes."""
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


def median_seconds(function: Callable[[], object], times: int) -> float:
    """Return the median of several calls."""
    return statistics.median(seconds(function) for _ in range(times))
