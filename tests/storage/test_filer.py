"""A thread that brings things to their places, many at a time."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence

import pytest

from workbench.storage.filer import Filer


def test_what_is_added_together_is_filed_together() -> None:
    batches: list[Sequence[int]] = []
    filer = Filer(lambda things: batches.append(list(things)), "filer")
    filer.add(range(3))
    filer.add([3])
    assert filer.finish()
    assert batches == [[0, 1, 2, 3]]
    assert not filer.finish()
    filer.add([4])
    filer.close()
    assert batches[1:] == [[4]]


def test_what_could_not_be_filed_is_tried_again() -> None:
    filed: list[int] = []
    failures = [OSError("full"), OSError("still full")]

    def file(things: Sequence[int]) -> None:
        if failures:
            raise failures.pop(0)
        filed.extend(things)

    filer = Filer(file, "filer")
    filer.add([1])
    with pytest.raises(OSError, match="full"):
        filer.finish()
    filer.add([2])
    while failures:
        with pytest.raises(OSError, match="full"):
            filer.finish()
    filer.finish()
    assert filed == [1, 2]


def test_it_does_not_wait_for_itself() -> None:
    waited: list[bool] = []
    filer: Filer[int] = Filer(lambda things: waited.append(filer.finish()), "filer")
    filer.add([1])
    filer.finish()
    assert waited == [False]


def test_who_waits_for_a_time_is_let_go() -> None:
    go = threading.Event()
    filer: Filer[int] = Filer(lambda things: go.wait(20), "filer")
    filer.add([1])
    assert filer.finish(0.01)
    go.set()
    filer.close()


def test_the_thread_ends_and_begins_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.storage.filer.LOOKS", 1)
    monkeypatch.setattr("workbench.storage.filer.IDLE_S", 0.01)
    filed: list[int] = []
    filer = Filer(filed.extend, "idle-filer")
    for number in range(5):
        filer.add([number])
        filer.finish()
        for thread in threading.enumerate():
            if thread.name == "idle-filer":
                thread.join()
    filer.close()
    assert filed == [0, 1, 2, 3, 4]


def test_nothing_is_lost_between_many_threads() -> None:
    filed: list[int] = []
    filer = Filer(filed.extend, "filer")

    def add(first: int) -> None:
        for number in range(first, first + 500):
            filer.add([number])
            if number % 50 == 0:
                filer.finish()

    threads = [threading.Thread(target=add, args=(first,)) for first in range(0, 4000, 500)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    filer.close()
    assert sorted(filed) == list(range(4000))


def test_who_waits_does_not_wait_for_what_comes_later() -> None:
    filer: Filer[int] = Filer(lambda things: filer.add([0]), "filer")  # there is always something
    filer.add([1])
    assert filer.finish(20)
    assert filer._waiting
    filer._file = lambda things: None
    filer.close()


def test_a_fork_has_nothing_to_do() -> None:
    go = threading.Event()
    filer: Filer[int] = Filer(lambda things: go.wait(20), "filer")
    filer.add([1])
    child = os.fork()
    if child == 0:
        filer.close()
        os._exit(int(filer.finish()))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    go.set()
    filer.close()
