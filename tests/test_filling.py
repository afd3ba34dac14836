"""A catalog that is filled from the store while others open the workspace, read and write: they wait, and nothing is lost."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

import workbench
from workbench.catalog import filling

CATALOGS = ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)]

# fills the catalog, and stops in the middle of it until it is told to go on
FILLER = """
import sys, workbench
from workbench.library.entries import Entries

fill = Entries.reindex
def fill_slowly(entries):
    print("filling", flush=True)
    sys.stdin.readline()
    return fill(entries)
Entries.reindex = fill_slowly

what, url, catalog = sys.argv[1:]
with workbench.open(url, catalog=catalog or None) as ws:
    if what == "reindex":
        print(ws.reindex()["entries"], flush=True)
"""


@pytest.fixture(params=CATALOGS)
def catalog(request: pytest.FixtureRequest) -> str | None:
    """Return the URL of an empty catalog; None is the one in the workspace's folder."""
    found: str | None = request.getfixturevalue("pg_url") if request.param == "postgresql" else None
    return found


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "run.h5"
    path.write_bytes(b"numbers")
    return path


def add(ws: workbench.Workspace, file: Path) -> int:
    return ws.entries.add("eos", file, check=False)[0].version


@contextmanager
def filler(what: str, url: Path, catalog: str | None) -> Iterator[subprocess.Popen[str]]:
    """Give a process that is in the middle of filling the catalog."""
    command = [sys.executable, "-c", FILLER, what, str(url), catalog or ""]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        assert child.stdout.readline() == "filling\n"
        yield child
    finally:
        child.kill()
        child.communicate()


class Waiting:
    """A call in a thread of its own, which says that it waits."""

    def __init__(self, call: Callable[[], int], monkeypatch: pytest.MonkeyPatch) -> None:
        self._found: list[int] = []
        self._thread = threading.Thread(target=lambda: self._found.append(call()))
        monkeypatch.setattr(filling, "WORD_S", 0.05)
        with pytest.warns(UserWarning, match="fills the catalog .* Waiting") as said:
            self._start_and_listen(said)

    def _start_and_listen(self, said: pytest.WarningsRecorder) -> None:
        self._thread.start()
        end = time.monotonic() + 30
        while not said.list and self._thread.is_alive() and time.monotonic() < end:
            time.sleep(0.01)

    def result(self) -> int:
        self._thread.join(30)
        return self._found[0]

    @property
    def waits(self) -> bool:
        return self._thread.is_alive()


@pytest.mark.parametrize("end", ["finished", "killed"])
def test_who_adds_during_a_reindex_waits_and_gets_the_next_version(
    tmp_path: Path, file: Path, catalog: str | None, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with workbench.open(tmp_path / "ws", catalog=catalog) as ws:
        ids = [ws.entries.add("eos", file, check=False)[0].id for _ in range(3)]
        with filler("reindex", tmp_path / "ws", catalog) as child:
            assert ws.entries.versions("eos") == [1, 2, 3]  # who reads sees what was there before
            addition = Waiting(lambda: add(ws, file), monkeypatch)
            assert addition.waits
            if end == "killed":
                child.kill()
            else:
                assert child.communicate("go on\n")[0] == "3\n"
            assert addition.result() == 4
        assert ws.entries.versions("eos") == [1, 2, 3, 4]
        assert ws.reindex()["entries"] == 4
        assert set(ids) < {entry.id for entry in ws.entries.list()}


def test_an_error_while_a_catalog_is_filled_leaves_it_as_it_was(
    tmp_path: Path, file: Path, catalog: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with workbench.open(tmp_path / "ws", catalog=catalog) as ws:
        assert [add(ws, file), add(ws, file)] == [1, 2]
        ids = [entry.id for entry in ws.entries.list()]
        with monkeypatch.context() as patch:
            patch.setattr(ws.entries, "_store", None)
            with pytest.raises(AttributeError):
                ws.reindex()
        assert [entry.id for entry in ws.entries.list()] == ids
        assert add(ws, file) == 3


WRITER = """
import sys, workbench
url, file, catalog, number = sys.argv[1:]
with workbench.open(url, catalog=catalog or None) as ws:
    for _ in range(int(number)):
        entry = ws.entries.add("eos", file, check=False)[0]
        print(entry.version, entry.id, flush=True)
"""


def writers(
    count: int, number: int, url: Path, file: Path, catalog: str | None
) -> list[subprocess.Popen[str]]:
    command = [sys.executable, "-c", WRITER, str(url), str(file), catalog or "", str(number)]
    return [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(count)
    ]


def reported(processes: list[subprocess.Popen[str]]) -> dict[int, str]:
    """Return the versions that processes were given, with the ids of their entries; none of them twice."""
    texts = []
    for process in processes:
        out, error = process.communicate(timeout=120)
        assert process.returncode == 0, error
        texts.append(out)
    lines = "".join(texts).splitlines()
    found = {int(version): id for version, id in map(str.split, lines)}
    assert len(found) == len(lines)
    return found


def test_reindexing_beside_a_process_that_adds_loses_nothing(
    tmp_path: Path, file: Path, catalog: str | None
) -> None:
    with workbench.open(tmp_path / "ws", catalog=catalog) as ws:
        for _ in range(10):
            add(ws, file)
        processes = writers(1, 60, tmp_path / "ws", file, catalog)
        while ws.entries.next_version("eos") == 11:
            time.sleep(0.01)
        while processes[0].poll() is None:
            ws.reindex()
        found = reported(processes)
        assert sorted(found) == list(range(11, 71))
        ws.reindex()
        assert {e.version: e.id for e in ws.entries.list(limit=100)}.items() >= found.items()
        assert ws.entries.versions("eos") == list(range(1, 71))


def forget(ws: workbench.Workspace) -> None:
    """Close a workspace and take its catalog away."""
    if ws.settings.catalog:
        with sa.create_engine(ws.settings.catalog, poolclass=sa.NullPool).begin() as connection:
            connection.execute(sa.text("DROP SCHEMA public CASCADE"))
            connection.execute(sa.text("CREATE SCHEMA public"))
    ws.close()
    for path in Path(ws.url).glob("catalog.sqlite*"):
        path.unlink()


@pytest.mark.parametrize("end", ["finished", "killed"])
@pytest.mark.parametrize("count", [0, 3])
def test_who_opens_while_the_catalog_is_filled_waits_or_takes_over(
    tmp_path: Path, file: Path, catalog: str | None, count: int, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def open_and_add() -> int:
        with workbench.open(tmp_path / "ws", catalog=catalog) as ws:
            return add(ws, file)

    ws = workbench.open(tmp_path / "ws", catalog=catalog)
    ids = [ws.entries.add("eos", file, check=False)[0].id for _ in range(count)]
    forget(ws)
    with filler("open", tmp_path / "ws", catalog) as child:
        addition = Waiting(open_and_add, monkeypatch)
        assert addition.waits
        if end == "killed":
            child.kill()
        child.communicate("go on\n")
        assert addition.result() == count + 1
    with workbench.open(tmp_path / "ws", catalog=catalog) as ws:
        assert ws.entries.versions("eos") == list(range(1, count + 2))
        assert set(ids) < {entry.id for entry in ws.entries.list()}


@pytest.mark.parametrize("place", ["new", "catalog gone"])
def test_several_processes_open_at_once_and_all_that_they_add_is_there(
    tmp_path: Path, file: Path, catalog: str | None, place: str
) -> None:
    known: dict[int, str] = {}
    if place == "catalog gone":
        ws = workbench.open(tmp_path / "ws", catalog=catalog)
        assert [add(ws, file) for _ in range(3)] == [1, 2, 3]
        known = {entry.version: entry.id for entry in ws.entries.list()}
        forget(ws)
    known |= reported(writers(4, 10, tmp_path / "ws", file, catalog))
    with workbench.open(tmp_path / "ws", catalog=catalog) as ws:
        assert {entry.version: entry.id for entry in ws.entries.list(limit=100)} == known
        assert sorted(known) == list(range(1, len(known) + 1))
        assert ws.reindex()["entries"] == len(known)
