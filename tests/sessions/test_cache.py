"""The cache on the memory of sessions: shared, first to go, and never in the way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from workbench.sessions import Sessions

Make = Callable[..., Sessions]
MIB = 1 << 20


def block(value: int, size: int = MIB) -> memoryview:
    return memoryview(np.full(size, value, np.uint8))


def test_what_one_process_publishes_another_maps(sessions: Sessions, python: Any) -> None:
    assert sessions.cache.publish("d1", b"facts", [block(1), block(2, 10)])
    segment = sessions.cache.map("d1")
    assert segment is not None
    assert (segment.meta, [int(a[0]) for a in segment.arrays], [len(a) for a in segment.arrays]) == (
        b"facts",
        [1, 2],
        [MIB, 10],
    )
    assert (
        python('print(sessions.cache.map("d1").arrays[0][5], "d1" in sessions.cache, "d2" in sessions.cache)')
        == "1 True False"
    )
    assert sessions.cache.map("d2") is None
    assert sessions.cache.nbytes >= MIB
    assert sessions.names() == ["tuning"]  # it is no session
    sessions.cache.clear()
    assert (sessions.cache.nbytes, segment.arrays[0][7]) == (0, 1)


def test_it_goes_before_anything_of_a_session_and_not_to_disk(make_sessions: Make, tmp_path: Path) -> None:
    sessions = make_sessions(session_quota=4 * MIB + 50_000)
    s = sessions.open("tuning")
    s["old"] = np.zeros(MIB, np.uint8)
    for key in "abc":
        assert sessions.cache.publish(key, b"", [block(1)])
    s["new"] = np.zeros(2 * MIB, np.uint8)
    assert ["a" in sessions.cache, "b" in sessions.cache, "c" in sessions.cache] == [False, False, True]
    assert {i.where for i in s.items_info()} == {"memory"}
    assert not list((tmp_path / "spill").rglob("items/*"))


def test_it_takes_no_room_from_sessions(make_sessions: Make) -> None:
    sessions = make_sessions(session_quota=3 * MIB)
    s = sessions.open("tuning")
    s["k"] = np.zeros(2 * MIB, np.uint8)
    s.close()
    assert not sessions.cache.publish("large", b"", [block(1, 2 * MIB)])
    assert sessions.cache.publish("small", b"", [block(1, MIB // 2)])
    assert sessions.open("tuning").items_info()[0].where == "memory"
