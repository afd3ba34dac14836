"""Two kernels on one session, in any order of calls, against a plain dict."""

from __future__ import annotations

import gc
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from workbench.sessions import Sessions
from workbench.settings import Settings

KEYS = st.sampled_from(["a", "b", "c/d", "E", "e"])
SIZES = st.sampled_from([0, 3, 9_000, 30_000, 30_500, 60_000])
WHO = st.integers(0, 1)
QUOTA = 700_000  # bytes: some items go to disk


class TwoKernels(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        shm = "/dev/shm" if Path("/dev/shm").is_dir() else None
        self.folder, self.spill = tempfile.mkdtemp("", "workbench-tests-", shm), tempfile.mkdtemp()
        self.sessions = [self.open_sessions(), self.open_sessions()]
        self.expected: dict[str, Any] = {}
        self.held: list[tuple[np.ndarray, int]] = []
        self.number = 0

    def open_sessions(self) -> Sessions:
        given = {"session_folder": self.folder, "session_spill": self.spill, "session_quota": QUOTA}
        return Sessions(Settings(**given), "file:///state")

    def session(self, who: int) -> Any:
        return self.sessions[who].open("s")

    @rule(who=WHO, key=KEYS, size=SIZES)
    def put(self, who: int, key: str, size: int) -> None:
        self.number += 1
        value = np.full(size, self.number, np.int64)
        self.session(who)[key] = value
        self.expected[key] = value

    @rule(who=WHO, key=KEYS, size=SIZES)
    def empty(self, who: int, key: str, size: int) -> None:
        self.number += 1
        array = self.session(who).empty(key, size, np.int64)
        array[:] = self.number
        self.expected[key] = array.copy()

    @rule(who=WHO, key=KEYS, mode=st.sampled_from("rc"), keep=st.booleans())
    def get(self, who: int, key: str, mode: Any, keep: bool) -> None:
        got = self.session(who).get(key, mode=mode)
        if key not in self.expected:
            assert got is None
            return
        np.testing.assert_array_equal(got, self.expected[key])
        if keep and len(got):
            self.held.append((got, int(got[0])))

    @rule(key=KEYS)
    def write_to_what_was_read(self, key: str) -> None:
        if key in self.expected:
            self.session(0)[key][:] = -1

    @rule(who=WHO, key=KEYS)
    def remove(self, who: int, key: str) -> None:
        if key in self.expected:
            del self.session(who)[key]
            del self.expected[key]
        else:
            with pytest.raises(KeyError):
                del self.session(who)[key]

    @rule(who=WHO)
    def clear(self, who: int) -> None:
        self.session(who).clear()
        self.expected.clear()

    @rule(who=WHO)
    def drop(self, who: int) -> None:
        self.session(who).drop()
        self.expected.clear()

    @rule(who=WHO)
    def restart(self, who: int) -> None:
        self.sessions[who].close()
        self.sessions[who] = self.open_sessions()

    @rule()
    def look_no_more(self) -> None:
        self.held.clear()
        gc.collect(0)

    @invariant()
    def the_session_is_what_a_dict_would_be(self) -> None:
        for sessions in self.sessions:
            s = sessions.open("s")
            assert s.keys() == sorted(self.expected)
            assert len(s) == len(self.expected)
            found = s._ground.items((s.token,), spilled=False), s._ground.items((s.token,), spilled=True)
            assert [sum(i.size for i in items) for items in found] == list(sessions._ground.totals.used())
            assert sessions._ground.totals.used()[0] <= QUOTA

    @invariant()
    def what_was_read_has_not_changed(self) -> None:
        assert all((array == value).all() for array, value in self.held)

    def teardown(self) -> None:
        for sessions in self.sessions:
            sessions.close()
        shutil.rmtree(self.folder)
        shutil.rmtree(self.spill)


TestTwoKernels = TwoKernels.TestCase
TestTwoKernels.settings = settings(
    max_examples=25, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
