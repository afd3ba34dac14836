"""Sessions between processes: shared, never torn, and whole after any death."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from workbench.sessions import Session, Sessions

Make = Callable[..., Sessions]


@pytest.fixture
def s(sessions: Sessions) -> Session:
    return sessions.open("tuning")


def test_another_process_reads_and_writes_and_this_one_sees_it(s: Session, python: Any) -> None:
    s["volume"] = np.arange(200_000.0)
    out = python("""
        v = s["volume"]
        v += 1
        s["sum"], s["more"] = float(v.sum()), v
        print(s.token)
    """)
    assert out == s.token
    assert s["sum"] == np.arange(200_000.0).sum() + 200_000
    assert s["volume"][0] == 0
    assert s["more"][0] == 1


def test_memory_made_by_empty_is_filled_by_one_process_and_read_by_another(s: Session, python: Any) -> None:
    out = s.empty("out", (300, 400), "i4")
    out[:] = 5
    assert python('print(s["out"].sum())') == str(5 * 120_000)
    python('e = s.empty("theirs", (300, 400), "i4"); e[:] = 6')
    assert (s["theirs"] == 6).all()


def test_a_session_survives_its_processes(python: Any) -> None:
    token = python('s["volume"], s["text"] = np.arange(100_000), "x"; print(s.token)')
    assert python('print(s.token, s["volume"][-1], s["text"])') == f"{token} 99999 x"


def test_readers_of_one_array_share_its_memory(s: Session, python: Any) -> None:
    s["k"] = np.ones(8_000_000, np.float32)
    held = s["k"]
    held.sum()  # so that the pages are in two processes: the system calls those of one private
    out = python("""
        from pathlib import Path
        def private():
            lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
            return sum(int(l.split()[1]) for l in lines if l.startswith("Private_"))
        if not Path("/proc/self/smaps_rollup").exists():
            print(0)
        else:
            before = private()
            total = s["k"].sum(), s.get("k", mode="r").sum()
            view = s["k"]; view.sum()
            print(private() - before)
    """)
    assert int(out) < 4_000  # KiB, of 32,000


def test_of_writers_of_one_key_one_wins_and_no_reader_sees_a_mixture(s: Session, python: Any) -> None:
    writers = [
        python.start(f"""
            sys.stdin.readline()
            for n in range(150):
                s["k"] = np.full(40_000 + 8_000 * (n % 3), {number} * 1000 + n)
            print("done")
        """)
        for number in range(3)
    ]
    s["k"] = np.zeros(40_000)
    for writer in writers:
        writer.stdin.write("\n")
        writer.stdin.flush()
    held = []
    reads = 0
    while any(w.poll() is None for w in writers):
        array = s["k"]
        assert (array == array[0]).all()
        reads += 1
        if reads % 10 == 0:
            held.append((array[0], array))
    for writer in writers:
        out, error = writer.communicate()
        assert out.strip() == "done", error
    assert all((array == value).all() for value, array in held)
    last = s["k"]
    assert last[0] % 1000 == 149
    assert len(s) == 1
    files = [p.stat().st_size for p in Path(s._ground.path(s.token, "i-k")).parent.iterdir()]
    assert s.nbytes == sum(files)


def test_what_a_reader_holds_never_changes_while_another_process_writes_memory_again(
    s: Session, python: Any
) -> None:
    writer = python.start("""
        for n in range(20):
            for step in range(5):
                s["k"] = np.full(200_000, 5 * n + step)
            print("written", flush=True)
            sys.stdin.readline()
    """)
    held = []
    for n in range(20):
        assert writer.stdout.readline() == "written\n"
        array = s["k"]
        assert array[0] == 5 * n + 4
        held.append((array[0], array, s.get("k", mode="r")))
        writer.stdin.write("\n")
        writer.stdin.flush()
        if n % 2:
            s["k"].sum()  # a view that is given back at once: its mapping is kept for the next
        for value, array, only in held:
            assert (array == value).all()
            assert (only == value).all()
        if n % 5 == 4:
            held[-1][1][7] = -1  # what is written here is not in the mapping that is kept
            held = held[-3:-1]


def test_a_kept_mapping_shows_what_the_file_holds_now_and_nothing_that_was_written_to_it(s: Session) -> None:
    from workbench.sessions.mappings import KEPT, is_clean

    s["k"] = np.zeros(300_000)
    if not is_clean(_mapping_of(s["k"])):
        pytest.skip("this system does not tell which pages were written to: nothing is kept")
    KEPT._kept.clear()
    s["k"].sum()
    assert len(KEPT._kept) == 1
    array = s["k"]
    assert len(KEPT._kept) == 0
    array[1000] = 5
    del array
    assert len(KEPT._kept) == 0
    assert s["k"].sum() == 0
    for number in range(1, 6):  # two memories in turn
        s["k"] = np.full(300_000, number)
        assert (s["k"] == number).all()
        assert (s["k"] == number).all()
    assert 0 < len(KEPT._kept) <= 2
    s.clear()
    assert KEPT.tidy() is False


def _mapping_of(array: np.ndarray) -> Any:
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    return base


@pytest.mark.parametrize("seed", range(3))
def test_a_kill_at_any_moment_leaves_whole_items_and_right_counts(
    seed: int, sessions: Sessions, make_sessions: Make, python: Any
) -> None:
    chance = random.Random(seed)
    s = sessions.open("tuning")
    for _ in range(4):
        writer = python.start("""
            print("going", flush=True)
            n = 0
            while True:
                n += 1
                s[f"k{n % 5}"] = np.full(30_000 + 7_000 * (n % 4), n)
                s[f"small{n % 7}"] = [n] * 5
                if n % 3 == 0 and "k1" in s:
                    del s["k1"]
                e = s.empty("e", 20_000)
        """)
        assert writer.stdout.readline() == "going\n"
        time.sleep(chance.uniform(0.0, 0.15))  # the moment of the kill is what is tried here
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
        for key in s.keys():  # noqa: SIM118 - a session is no dict
            value = s[key]
            if key != "e":
                assert len(set(np.asarray(value).tolist())) == 1
        items = [p for p in (sessions.folder / "sessions" / s.token / "items").iterdir()]  # noqa: C416
        assert len(s) == len(items) == len(s.keys())
        assert s.nbytes == sessions.nbytes == sum(p.stat().st_size for p in items)
    assert len(list((sessions.folder / "work").iterdir())) > 0
    make_sessions()  # whoever opens next sweeps what the dead have left
    owners = {p.name for p in (sessions.folder / "work").iterdir()}
    assert owners <= {sessions._ground.work.id}


def test_a_process_that_ends_normally_leaves_no_segment_behind(sessions: Sessions, python: Any) -> None:
    python("""
        for n in range(4):
            s["k"] = np.full(100_000, n)
        assert s._ground.pool.nbytes > 0
    """)
    assert not list((sessions.folder / "work").glob("*"))
    assert sessions.open("tuning")["k"][0] == 3


def test_a_forked_child_writes_memory_of_its_own(s: Session, python: Any) -> None:
    out = python("""
        for n in range(3):
            s["k"] = np.full(100_000, n)
        held = s["k"]
        pid = os.fork()
        if pid == 0:
            for n in range(10):
                s["child"] = np.full(100_000, 100 + n)
            os._exit(0)
        for n in range(10):
            s["parent"] = np.full(100_000, 200 + n)
        assert os.waitpid(pid, 0)[1] == 0
        print((held == 2).all(), s["child"][0], (s["child"] == 109).all(), (s["parent"] == 209).all(), len(s))
    """)
    assert out == "True 109 True True 3"


def test_removing_an_item_in_one_process_gives_back_the_memory_that_another_kept(
    s: Session, python: Any
) -> None:
    s["k"] = np.zeros(500_000)
    descriptor = next(iter(s._ground.pool._known.values())).descriptor
    assert os.fstat(descriptor).st_nlink == 1
    python("s.clear()")
    s._ground.pool.tidy()  # as its timer does
    assert s._ground.pool._known == {}


def test_the_workspace_of_a_process_that_died_is_deleted_if_no_other_could_open_it(
    memory: Path, tmp_path: Path, make_sessions: Make, python: Any
) -> None:
    python("""
        settings = Settings(session_folder=str(sessions.folder.parents[1]), session_spill="none")
        Sessions(settings, "memory://x", is_shared=False).open("t")["k"] = 1
        os._exit(0)
    """)
    root = memory / f"workbench-{os.getuid()}"
    (left,) = [p for p in root.iterdir() if p.name.startswith("m-")]
    os.utime(left, (time.time() - 1000,) * 2)
    make_sessions()
    assert not left.exists()


def test_a_session_that_is_dropped_while_others_use_it_is_gone_and_nothing_else_breaks(
    sessions: Sessions, python: Any
) -> None:
    sessions.open("tuning")["k"] = 1
    users = [
        python.start("""
            print("going", flush=True)
            for n in range(300):
                try:
                    s[f"k{n % 9}"] = np.full(30_000 if n % 2 else 10, n)
                    s.empty("e", 20_000)
                    if n % 3 == 0:
                        del s["e"]
                    s.keys(), s.items_info(), len(s), s.get("k3")
                    if n % 20 == 0:
                        s.clear()
                except KeyError as error:
                    assert "is gone" in str(error) or "has no item" in str(error) or "was removed" in str(error)
                    s = sessions.open("tuning")
        """)
        for _ in range(2)
    ]
    assert users[0].stdout.readline() == "going\n"
    while any(u.poll() is None for u in users):
        sessions.open("tuning").drop()
    for user in users:
        _, error = user.communicate()
        assert user.returncode == 0, error
    items = list(sessions._ground.items(sessions._ground.totals.sessions(), spilled=False))
    assert sessions.nbytes == sum(i.size for i in items)
