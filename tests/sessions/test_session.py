"""A session: a dict that outlives its process, with limits, and with reasons for what is missing."""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from workbench.errors import InvalidNameError, NotFoundError, ReadOnlyError, StorageFullError, WorkspaceError
from workbench.sessions import Session, Sessions
from workbench.sessions.place import private_folder

Make = Callable[..., Sessions]


@pytest.fixture
def s(sessions: Sessions) -> Session:
    return sessions.open("tuning")


def test_it_is_a_dict_of_objects(s: Session) -> None:
    s["volume"] = np.ones(10)
    s["n"] = {"a": 1}
    assert s.keys() == list(s) == ["n", "volume"]
    assert (len(s), "n" in s, "m" in s, 3 in s) == (2, True, False, False)
    assert (s.get("m"), s.get("m", 5), s.get("n")) == (None, 5, {"a": 1})
    del s["n"]
    assert s.keys() == ["volume"]
    s.clear()
    assert (len(s), s.nbytes) == (0, 0)
    assert s  # an empty session is still a session


def test_sizes_are_those_of_the_files(s: Session, sessions: Sessions) -> None:
    s["list"] = [np.zeros(1_000_000, np.uint8)]
    s["small"] = 1
    s["list"] = [np.zeros(2_000_000, np.uint8)]
    files = list((sessions.folder / "sessions" / s.token / "items").iterdir())
    assert s.nbytes == sum(p.stat().st_size for p in files) == sessions.nbytes
    assert 2_000_000 <= s.nbytes < 2_010_000


def test_the_same_name_is_the_same_session_until_it_is_dropped(
    s: Session, sessions: Sessions, make_sessions: Make
) -> None:
    other = make_sessions()
    s["k"] = 1
    assert sessions.open("tuning") is s
    again = other.open("tuning")
    assert (again.token, again["k"]) == (s.token, 1)
    again.drop()
    new = sessions.open("tuning")
    assert new.token != s.token
    with pytest.raises(
        KeyError, match=r"has no item 'k'\. The session of that name was dropped at .* by process"
    ):
        new["k"]
    for use in (lambda: s["k"], lambda: s.__setitem__("k", 2), lambda: s.empty("e", 5)):
        with pytest.raises(NotFoundError, match=r"'tuning' .* is gone.*ws\.session\('tuning'\)"):
            use()
    assert len(new) == 0


def test_two_workspaces_never_meet(s: Session, make_sessions: Make) -> None:
    s["k"] = 1
    assert "k" not in make_sessions("file:///other").open("tuning")


def test_names_follow_the_rules(sessions: Sessions) -> None:
    for name in ("", "a/b", "../x", "-s"):
        with pytest.raises(InvalidNameError, match="Session name"):
            sessions.open(name)


def test_the_listing_knows_items_sizes_and_ages(sessions: Sessions, s: Session) -> None:
    s.drop()
    assert (
        repr(sessions.list())
        == "No sessions. Make one: ws.session('tuning'), or work in one: %algorun -s tuning."
    )
    s = sessions.open("tuning")
    s["volume"] = np.zeros((10, 20), np.float32)
    sessions.open("other")["x"] = "text"
    page = sessions.list()
    assert {i.name: i.items for i in page} == {"tuning": 1, "other": 1}
    assert {i.name: i.in_use for i in page} == {"tuning": True, "other": False}
    info = s.items_info()[0]
    assert (info.key, info.type, info.shape, info.dtype) == ("volume", "ndarray", (10, 20), "float32")
    assert 0 <= time.time() - info.created < 60
    for text in (repr(s), s._repr_html_()):
        assert "volume" in text
        assert "10, 20" in text
    with pytest.raises(KeyError, match=r"no session 'tunin'\. Did you mean 'tuning'"):
        sessions.get("tunin")
    sessions.drop("other")
    assert [i.name for i in sessions.list()] == ["tuning"]
    with pytest.raises(KeyError, match="no session 'other'"):
        sessions.drop("other")


# -- why something is missing


def test_a_missing_key_says_that_it_was_never_there(s: Session) -> None:
    s["volume"] = 1
    with pytest.raises(KeyError, match=r"never put\. Did you mean 'volume'\?"):
        s["volum"]
    with pytest.raises(KeyError, match=r"never put"):
        del s["other"]


def test_a_missing_key_says_that_it_was_removed_or_cleared(s: Session) -> None:
    s["a"] = s["b"] = 1
    del s["a"]
    with pytest.raises(KeyError, match=rf"'a' of session 'tuning' was removed by process {os.getpid()} at"):
        s["a"]
    s.clear()
    with pytest.raises(KeyError, match="when the session was cleared"):
        s["b"]
    s["b"] = 2
    assert s["b"] == 2


def test_the_least_recently_used_goes_when_there_are_too_many(make_sessions: Make) -> None:
    s = make_sessions(session_items=3).open("few")
    for key in "abc":
        s[key] = key
    assert s["a"] == "a"
    s["d"] = "d"
    s["d"] = "again"  # the same key twice evicts nobody
    assert s.keys() == ["a", "c", "d"]
    with pytest.raises(
        KeyError, match=r"'b' of session 'few' was evicted .* more than 3 items \(setting session_items\)"
    ) as e:
        s["b"]
    assert e.value.reason == "items"
    assert s.get("b", 0) == 0


def test_eviction_is_in_the_order_of_use_over_many_rounds(make_sessions: Make) -> None:
    s = make_sessions(session_items=10).open("few")
    expected: list[str] = []
    rng = np.random.default_rng(1)
    for _ in range(300):
        key = f"k{rng.integers(30)}"
        if key in expected and rng.random() < 0.5:
            assert s[key] == key
        else:
            s[key] = key
        if key in expected:
            expected.remove(key)
        expected.append(key)
        expected = expected[-10:]
        assert s.keys() == sorted(expected)


def test_the_least_recently_used_goes_when_there_are_too_many_bytes(make_sessions: Make) -> None:
    s = make_sessions(session_bytes=3_100_000).open("small")
    for key in "abcd":
        s[key] = [np.zeros(1_000_000, np.uint8)]  # counted for what it holds
    assert s.keys() == ["b", "c", "d"]
    assert s.nbytes <= 3_100_000
    with pytest.raises(KeyError, match=r"more than 3100000 bytes \(setting session_bytes\)"):
        s["a"]


def test_an_item_larger_than_its_session_is_refused_and_nothing_is_lost(make_sessions: Make) -> None:
    s = make_sessions(session_bytes=1_000_000).open("small")
    s["a"] = 1
    with pytest.raises(
        StorageFullError, match=r"'big' has 2\d+ bytes, session 'small' may have 1000000.*ws\.datasets\.put"
    ):
        s["big"] = np.zeros(2_000_000, np.uint8)
    with pytest.raises(StorageFullError, match="'a' has"):
        s["a"] = np.zeros(2_000_000, np.uint8)
    assert s["a"] == 1


def test_over_the_quota_items_go_to_disk_and_are_read_from_there(make_sessions: Make, tmp_path: Path) -> None:
    s = make_sessions(session_quota=3_100_000).open("big")
    arrays = {key: np.random.default_rng(ord(key)).random(125_000) for key in "abcd"}
    for key, array in arrays.items():
        s[key] = array
    where = {i.key: i.where for i in s.items_info()}
    assert where == {"a": "disk", "b": "memory", "c": "memory", "d": "memory"}
    for key, array in arrays.items():
        np.testing.assert_array_equal(s[key], array)
    assert s.keys() == list("abcd")
    assert len(s) == 4
    assert s.nbytes > 4_000_000
    s["a"] = 1  # back in memory, and only once
    assert (s["a"], len(s)) == (1, 4)
    for key in "abcd":
        del s[key]
    assert (len(s), s.nbytes) == (0, 0)
    assert not list((tmp_path / "spill").rglob("items/*"))


def test_an_item_larger_than_the_quota_lies_on_disk(make_sessions: Make) -> None:
    s = make_sessions(session_quota=1_000_000).open("big")
    s["k"] = np.arange(1_000_000)
    assert s.items_info()[0].where == "disk"
    assert s["k"][-1] == 999_999


def test_when_the_disk_is_full_too_a_session_that_nobody_uses_is_the_victim(make_sessions: Make) -> None:
    sessions = make_sessions(session_quota=2_100_000, session_spill_quota=1_050_000)
    old = sessions.open("old")
    for key in "ab":
        old[key] = np.zeros(1_000_000, np.uint8)
    del old
    gc.collect()
    new = sessions.open("new")
    for key in "xyz":
        new[key] = np.zeros(1_000_000, np.uint8)
    assert new.keys() == ["x", "y", "z"]
    with pytest.raises(KeyError, match=r"other sessions needed the room.*session_quota"):
        sessions.open("old")["a"]
    with pytest.raises(
        StorageFullError, match=r"no room for item 'w'.*sessions in use are not touched.*Nothing was stored"
    ):
        new["w"] = np.zeros(1_000_000, np.uint8)
    assert new.keys() == ["x", "y", "z"]


def test_a_session_that_is_open_elsewhere_is_no_victim(make_sessions: Make) -> None:
    sessions = make_sessions(session_quota=2_100_000, session_spill="none")
    held = make_sessions().open("held")
    for key in "ab":
        held[key] = np.zeros(1_000_000, np.uint8)
    with pytest.raises(StorageFullError, match="no room"):
        sessions.open("new")["x"] = np.zeros(1_000_000, np.uint8)
    assert held.keys() == ["a", "b"]
    held.close()
    sessions.open("new")["x"] = np.zeros(1_000_000, np.uint8)
    assert make_sessions().open("held").keys() == ["b"]


def test_a_session_that_nobody_used_expires_with_a_reason(make_sessions: Make) -> None:
    first = make_sessions()
    s = first.open("old")
    s["k"] = 1
    about = first.folder / "sessions" / s.token / "about.json"
    os.utime(about, (time.time() - 7200,) * 2)
    second = make_sessions(session_hours=1.0)
    assert second.open("old")["k"] == 1  # it is open: in use
    os.utime(about, (time.time() - 7200,) * 2)
    s.close()
    del s
    first.close()
    second.close()
    gc.collect()
    third = make_sessions(session_hours=1.0)
    assert len(third.list()) == 0
    with pytest.raises(
        KeyError, match=r"has no item 'k'\. The session of that name expired .* unused for 1 hours"
    ):
        third.open("old")["k"]


def test_a_reason_survives_a_thousand_others(make_sessions: Make) -> None:
    s = make_sessions(session_items=1).open("one")
    for number in range(1000):
        s[f"k{number}"] = number
    with pytest.raises(KeyError, match=r"'k17' .* was evicted"):
        s["k17"]


# -- shared memory


def test_empty_is_an_item_from_the_start_and_the_array_is_the_memory(s: Session, make_sessions: Make) -> None:
    other = make_sessions().open("tuning")
    for key, shape in (("large", (1000, 300)), ("small", 5), ("0-d", ()), ("nothing", (0, 4))):
        out = s.empty(key, shape, "float32")
        out[...] = 7
        got = other[key]
        assert (got.shape, got.dtype) == (out.shape, out.dtype)
        assert (got == 7).all()
        size = s.nbytes
        s[key] = out  # the same memory: nothing is done
        out[...] = 8
        assert (other[key] == 8).all()
        assert s.nbytes == size
    s["large"] = 1
    out = s.empty("large", 10)
    s["large"] = out[:5]  # not all of it: a value like any other
    assert other["large"].shape == (5,)


def test_empty_refuses_what_has_no_plain_memory(s: Session) -> None:
    with pytest.raises(ValueError, match="dtype is object"):
        s.empty("k", 3, object)
    with pytest.raises(ValueError, match=r"shape is \(3, -1\)"):
        s.empty("k", (3, -1))


def test_the_digest_of_memory_that_is_still_written_is_not_remembered(s: Session) -> None:
    out = s.empty("k", 100_000, "u1")
    out[:] = 1
    first = s.digest("k")
    out[:] = 2
    assert s.digest("k") != first


def test_what_was_read_stays_when_the_key_is_put_again_and_again(s: Session) -> None:
    kept = []
    for number in range(12):
        s["k"] = np.full(100_000, number)
        if number % 3 == 0:
            kept.append((number, s["k"], s.get("k", mode="r")))
        for value, private, only in kept:
            assert (private == value).all()
            assert (only == value).all()


def test_memory_that_nobody_looks_at_is_used_again(s: Session, sessions: Sessions) -> None:
    def inode() -> int:
        return (sessions.folder / "sessions" / s.token / "items" / "i-k").stat().st_ino

    seen = []
    for number in range(6):
        s["k"] = np.full(100_000, number)
        seen.append(inode())
    assert len(set(seen)) == 2
    held = s["k"]
    s["k"] = np.zeros(100_000)
    s["k"] = np.zeros(100_000)
    s["k"] = np.zeros(100_000)
    assert (held == 5).all()


def test_more_views_than_open_files_are_copies(python: Any) -> None:
    out = python("""
        import resource
        s["k"] = np.arange(20_000)
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        views = [s["k"] for _ in range(100)]
        print(all((v == np.arange(20_000)).all() for v in views), len({v.ctypes.data for v in views}))
    """)
    assert out == "True 100"


def test_threads_may_share_a_session(s: Session) -> None:
    errors: list[Exception] = []

    def work(number: int) -> None:
        try:
            for step in range(100):
                s[f"{number}-{step % 7}"] = np.full(20_000 if step % 2 else 10, number)
                assert (s[f"{number}-{step % 7}"] == number).all()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(s) == 28


# -- what cannot be shared


def test_what_cannot_be_pickled_stays_here_and_says_so(s: Session, python: Any) -> None:
    lock = threading.Lock()
    with pytest.warns(
        UserWarning, match=r"'lock' \(lock\) of session 'tuning' cannot be pickled .*stays in this process"
    ):
        s["lock"] = lock
    assert s["lock"] is lock
    out = python("""
        try:
            s["lock"]
        except KeyError as error:
            print(error)
        print([i.where for i in s.items_info()])
        s["mine"] = 1
    """)
    assert f"stayed in process {os.getpid()}" in out
    assert "which holds it" in out
    assert "another process" in out
    s["lock"] = 1
    assert s["lock"] == 1
    python('warnings.simplefilter("ignore"); s["gone"] = lambda: 1; s["gone"]()')
    with pytest.raises(KeyError, match="has ended, and the object with it"):
        s["gone"]
    assert "gone" in s


def test_a_class_that_is_not_here_is_named(s: Session, python: Any) -> None:
    python("""
        import __main__
        class Fit: pass
        s["fit"] = Fit()
    """)
    with pytest.raises(ValueError, match=r"'fit' .* cannot be rebuilt in this process: AttributeError.*Fit"):
        s["fit"]


# -- folders


def test_the_folder_is_closed_to_others(sessions: Sessions, memory: Path) -> None:
    folder = memory / f"workbench-{os.getuid()}"
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o755)
    assert private_folder(memory).stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")
def test_the_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "workbench-0").mkdir()
    os.chown(tmp_path / "workbench-0", 12345, 12345)
    with pytest.raises(
        WorkspaceError, match=r"belongs to user id 12345, not to you \(0\)\. Choose another.*session_folder"
    ):
        private_folder(tmp_path)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ReadOnlyError, match=r"cannot be made: .*session_folder"):
        private_folder(tmp_path / "file")


def test_closing_leaves_the_items_and_nothing_else(make_sessions: Make) -> None:
    sessions = make_sessions()
    s = sessions.open("tuning")
    for number in range(4):
        s["k"] = np.full(100_000, number)
    sessions.close()
    assert list((sessions.folder / "work").iterdir()) == []
    assert make_sessions().open("tuning")["k"][0] == 3


def test_memory_whose_maker_still_has_it_does_not_go_to_disk(make_sessions: Make) -> None:
    s = make_sessions(session_quota=2_500_000).open("tuning")
    out = s.empty("out", 1_000_000, "u1")
    s["a"] = np.zeros(1_000_000, np.uint8)
    s["b"] = np.zeros(1_000_000, np.uint8)
    assert {i.key: i.where for i in s.items_info()} == {"out": "memory", "a": "disk", "b": "memory"}
    out[:] = 3
    assert s["out"].sum() == 3_000_000
    del out
    gc.collect()
    s["c"] = np.zeros(1_000_000, np.uint8)
    s["d"] = np.zeros(1_000_000, np.uint8)
    assert {i.key: i.where for i in s.items_info()}["out"] == "disk"
    assert s["out"].sum() == 3_000_000


def test_a_miss_among_thousands_is_cheap_to_explain(s: Session) -> None:
    for number in range(1500):
        s[f"k{number}"] = number
    with pytest.raises(KeyError, match=r"never put\. It has 1500"):
        s["k"]


def test_a_session_whose_process_died_while_dropping_it_is_swept(make_sessions: Make, tmp_path: Path) -> None:
    sessions = make_sessions(session_quota=1_500_000)
    s = sessions.open("half")
    for key in "ab":
        s[key] = np.zeros(1_000_000, np.uint8)
    kept = sessions.open("kept")
    kept["k"] = 1
    (sessions.folder / "names" / "half").unlink()  # as far as it came
    again = make_sessions()
    assert again.nbytes == kept.nbytes
    assert [p.name for p in (again.folder / "sessions").iterdir()] == [kept.token]
    assert not list((tmp_path / "spill").rglob("items/*"))
    assert again.open("kept")["k"] == 1
