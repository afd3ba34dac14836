"""Datasets on their way: safe at once, found by everybody, and brought to their places by whoever comes first."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from io import FileIO
from pathlib import Path

import numpy as np
import pytest

import workbench
from workbench.errors import (
    ConflictError,
    NotFoundError,
    ReadOnlyError,
    StorageError,
    StorageFullError,
)
from workbench.library import Dataset
from workbench.library.contents import Contents
from workbench.storage import hdf5

#: puts a few in the block, tells their ids, and brings nothing to its place until it is told to
WRITER = """
    import sys, threading
    import numpy as np
    import workbench
    from workbench.library.contents import Contents

    put_file, go = Contents.put_file, threading.Event()
    Contents.put_file = lambda *args: (go.wait(), put_file(*args))[1]
    ws = workbench.open(sys.argv[1])
    with ws.datasets.filed_later():
        for number in range(int(sys.argv[2])):
            print(ws.datasets.put({"data": np.full(5, number), "bytes": np.frombuffer(b"two\\nlines", np.uint8)}, name=f"n{number}").id)
    print("told", flush=True)
    sys.stdin.readline()
    go.set()
    ws.close()
"""


class Writer:
    """Another process that has datasets on their way."""

    def __init__(self, url: Path, count: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(WRITER), str(url), str(count)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.ids = list(iter(lambda: self.process.stdout.readline().strip(), "told"))

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()

    def go_on(self) -> None:
        """Let it bring to their places what it has, and end."""
        if self.process.returncode is None:
            self.process.communicate("\n", timeout=60)
        assert self.process.returncode == 0


@pytest.fixture
def url(tmp_path: Path) -> Path:
    with workbench.open(tmp_path / "ws"):
        return tmp_path / "ws"


@pytest.fixture
def writer(url: Path) -> Iterator[Writer]:
    writer = Writer(url, 3)
    yield writer
    if writer.process.returncode is None:
        writer.kill()


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Hold what this process has on its way until the function is called."""
    put_file, go = Contents.put_file, threading.Event()
    monkeypatch.setattr(Contents, "put_file", lambda *args: (go.wait(20), put_file(*args))[1])
    yield go.set
    go.set()


def journals(url: Path) -> list[int]:
    """Return the sizes of the journals of datasets."""
    return [file.stat().st_size for file in (url / ".journal" / "datasets").glob("*")]


def placed(url: Path) -> set[str]:
    """Return the datasets whose records are in their places."""
    return {path.stem for path in (url / "datasets").glob("*.json")}


def test_it_is_there_before_it_is_in_its_place(url: Path, held: Callable[[], None]) -> None:
    with workbench.open(url) as ws:
        with ws.datasets.filed_later():
            made = ws.datasets.put({"data": np.arange(5)})
            large = ws.datasets.put({"data": np.zeros(1 << 18)})
            text = ws.datasets.put({"data": np.array(["a", "b"])})
        places = placed(url)
        assert places == {
            large.id,
            text.id,
        }  # what is large, or is not written in one piece, is not kept first
        assert ws.datasets.find(made.id).record == made.record
        assert [found.id for found in ws.datasets.find_many([large.id, made.id])] == [large.id, made.id]
        assert ws.datasets.exist([made.id]) == [True]
        held()
        assert ws.datasets.get(made.id)["data"].tolist() == [0, 1, 2, 3, 4]
        assert {found.id for found in ws.datasets.list()} == {made.id, large.id, text.id}
    assert journals(url) == []


def test_outside_of_the_block_it_is_in_its_place_at_once(url: Path) -> None:
    with workbench.open(url) as ws:
        with ws.datasets.filed_later():
            other = []
            thread = threading.Thread(target=lambda: other.append(ws.datasets.put({"data": np.ones(2)})))
            thread.start()
            thread.join()
        last = ws.datasets.put({"data": np.ones(3)})
        assert placed(url) == {other[0].id, last.id}
        assert journals(url) == []


@pytest.mark.parametrize("place", ["memory", pytest.param("s3", marks=pytest.mark.s3)])
def test_a_place_that_is_no_folder_gets_it_at_once(
    place: str, memory_url: str, request: pytest.FixtureRequest
) -> None:
    s3 = request.getfixturevalue("s3") if place == "s3" else None
    url, options = (s3.new_url(), s3.storage_options) if s3 else (memory_url, None)
    with workbench.open(url, storage_options=options) as ws, ws.datasets.filed_later():
        made = ws.datasets.put({"data": np.arange(5)})
        assert ws.store.exist("datasets", [f"{made.id}.json"]) == [True]


def test_what_a_killed_process_had_on_its_way_is_found(url: Path, writer: Writer) -> None:
    writer.kill()
    assert len(writer.ids) == 3
    assert placed(url) == set()
    with workbench.open(url) as ws:
        assert [found.name for found in ws.datasets.list(order="name")] == ["n0", "n1", "n2"]
        for number, id in enumerate(writer.ids):
            found = ws.datasets.get(id)
            assert found["data"].tolist() == [number] * 5
            assert found["bytes"].tobytes() == b"two\nlines"
            digest = ws.datasets.find(id).digest
            hdf5.verify(url / "objects" / f"{digest}.h5", digest)
    assert journals(url) == []


@pytest.mark.parametrize("look", ["get", "name", "list", "lineage", "exist", "catalog"])
def test_what_another_process_has_on_its_way_is_found(url: Path, writer: Writer, look: str) -> None:
    with workbench.open(url) as ws:
        assert len(ws.datasets.list()) == 3 if look == "list" else True
        id = writer.ids[1]
        looks: dict[str, Callable[[], object]] = {
            "get": lambda: ws.datasets.get(id)["data"].tolist() == [1] * 5,
            "name": lambda: ws.datasets.find("n1").id == id,
            "list": lambda: [found.id for found in ws.datasets.list(name="n1")] == [id],
            "lineage": lambda: ws.datasets.lineage(id).id == id,
            "exist": lambda: ws.datasets.exist([id]) == [True],
            "catalog": lambda: id in ws.catalog.get_datasets([id]),
        }
        assert looks[look]()
        writer.go_on()
        assert looks[look]()
        assert len(ws.datasets.list()) == 3


def test_what_is_found_on_its_way_can_be_deleted(url: Path, writer: Writer) -> None:
    with workbench.open(url) as ws:
        waits = threading.Timer(0.3, writer.go_on)
        waits.start()
        ws.datasets.delete(writer.ids[0])
        ws.datasets.update(writer.ids[1], name="mine")
        waits.join()
        with pytest.raises(NotFoundError):
            ws.datasets.find(writer.ids[0])
        assert ws.datasets.find("mine").id == writer.ids[1]
    with workbench.open(url) as ws:
        assert {found.name for found in ws.datasets.list()} == {"mine", "n2"}


def test_what_a_killed_process_had_on_its_way_can_be_deleted(url: Path, writer: Writer) -> None:
    with workbench.open(url) as ws:
        assert len(ws.datasets.list()) == 3  # it looked before the kill
        writer.kill()
        ws.datasets.delete(writer.ids[0])
        ws.datasets.update(writer.ids[1], name="mine")
    with workbench.open(url) as ws:
        assert {found.name for found in ws.datasets.list()} == {"mine", "n2"}


def test_what_cannot_be_filed_is_not_deleted_by_half(url: Path, writer: Writer) -> None:
    with workbench.open(url) as ws:
        with pytest.raises(ConflictError, match="still on its way"):
            ws.datasets.delete(writer.ids[0])
        with pytest.raises(ConflictError, match="still on its way"):
            ws.datasets.update(writer.ids[0], name="mine")
        writer.go_on()
        assert ws.datasets.find(writer.ids[0]).name == "n0"
        ws.datasets.delete(writer.ids[0])
    with workbench.open(url) as ws:
        assert len(ws.datasets.list()) == 2


def test_who_only_reads_waits_once_for_what_cannot_be_brought_to_its_place(
    url: Path, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*args: object) -> None:
        raise ReadOnlyError("read-only")

    monkeypatch.setattr(Contents, "put_file", refused)
    with workbench.open(url) as ws:
        assert len(ws.datasets.list()) == 0
        monkeypatch.setattr("workbench.library.dataset_filing.FILED_S", 1000)
        assert len(ws.datasets.list()) == 0
        with pytest.raises(StorageError, match="kept in the journal"):
            ws.datasets.get(writer.ids[0])


def test_the_copy_of_a_folder_has_what_was_on_its_way(url: Path, writer: Writer) -> None:
    shutil.copytree(url, url.parent / "copy")
    with workbench.open(url.parent / "copy") as ws:
        assert len(ws.datasets.list()) == 3
        ws.datasets.delete(writer.ids[0])
    with workbench.open(url.parent / "copy") as ws:
        assert len(ws.datasets.list()) == 2
    assert journals(url.parent / "copy") == []


def test_what_a_silent_machine_had_on_its_way_is_found(url: Path, writer: Writer) -> None:
    writer.kill()
    (file,) = (url / ".journal" / "datasets").iterdir()
    first, _, rest = file.read_bytes().partition(b"\n")
    pid, started, _, node = json.loads(first)
    with file.open("rb+") as same:
        same.write(json.dumps([pid, started, "elsewhere", node]).encode() + b"\n" + rest)
        same.truncate()
    os.utime(file, (time.time() - 100, time.time() - 100))
    with workbench.open(url) as ws:
        ws.datasets.delete(writer.ids[0])
        assert len(ws.datasets.list()) == 2
    assert journals(url) == []


def test_an_interpreter_that_ends_brings_it_to_its_place(url: Path) -> None:
    code = """
        import sys
        import numpy as np
        import workbench

        ws = workbench.open(sys.argv[1])
        with ws.datasets.filed_later():
            ws.datasets.put({"data": np.arange(5)})
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code), str(url)], check=True)
    assert len(placed(url)) == 1


def test_nobody_brings_back_what_was_deleted_while_others_look(url: Path) -> None:
    code = """
        import sys
        import workbench

        ws = workbench.open(sys.argv[1])
        print("looks", flush=True)
        while sys.stdin.readline() != "end\\n":
            for _ in range(20):
                ws.datasets.list(limit=3)
            print("looked", flush=True)
    """
    looker = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), str(url)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert looker.stdin is not None
    assert looker.stdout is not None
    looker.stdout.readline()
    deleted, made = set(), []
    with workbench.open(url) as ws, workbench.open(url) as other:
        for round in range(15):
            looker.stdin.write("more\n")
            looker.stdin.flush()
            with ws.datasets.filed_later():
                made = [ws.datasets.put({"data": np.full(5, round * 10 + i)}) for i in range(10)]
            for dataset in made[::2]:
                other.datasets.delete(dataset.id)
                deleted.add(dataset.id)
            assert looker.stdout.readline() == "looked\n"
    looker.communicate("end\n", timeout=30)
    with workbench.open(url) as ws:
        assert deleted.isdisjoint(dataset.id for dataset in ws.datasets.list(limit=1000))
        assert deleted.isdisjoint(placed(url))
        assert len(placed(url)) == 75


def test_a_rebuilt_catalog_has_what_is_on_its_way(url: Path, writer: Writer) -> None:
    with workbench.open(url) as ws:
        assert ws.reindex()["datasets"] == 3
        writer.go_on()
        assert len(ws.datasets.list()) == 3


def test_what_was_put_before_a_fork_is_its_parents(url: Path, held: Callable[[], None]) -> None:
    with workbench.open(url) as ws:
        with ws.datasets.filed_later():
            made = ws.datasets.put({"data": np.arange(5)})
        child = os.fork()
        if child == 0:
            ws.datasets._filing.close()
            os._exit(len(journals(url)))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
        held()
        assert ws.datasets.get(made.id)["data"].tolist() == [0, 1, 2, 3, 4]


def test_many_are_brought_to_their_places_while_others_are_put(url: Path) -> None:
    with workbench.open(url) as ws:
        with ws.datasets.filed_later():
            made = [ws.datasets.put({"data": np.full(1000, number)}) for number in range(300)]
            for number, dataset in enumerate(made):
                assert ws.datasets.get(dataset.id)["data"][0] == number
        assert len(placed(url)) == 300
        assert ws.datasets.delete(made[0].id) is None
        assert len(ws.datasets.list(limit=1000)) == 299


def test_equal_contents_on_their_way_are_one_object(url: Path) -> None:
    with workbench.open(url) as ws:
        with ws.datasets.filed_later():
            one, other = (ws.datasets.put({"data": np.arange(5)}) for _ in range(2))
        ws.datasets.delete(one.id)
        assert ws.datasets.get(other.id)["data"].tolist() == [0, 1, 2, 3, 4]
        assert len(list((url / "objects").glob("*.h5"))) == 1


def take_all(file: FileIO) -> None:
    """Fill the disk."""
    while True:
        file.write(bytes(1 << 12))


def test_a_full_disk_refuses_what_it_cannot_keep(small_disk: Path, held: Callable[[], None]) -> None:
    with workbench.open(small_disk / "ws") as ws:
        made: list[Dataset] = []
        free = small_disk / "full"
        with pytest.raises(OSError, match="No space"), free.open("wb", buffering=0) as file:
            take_all(file)
        os.truncate(free, free.stat().st_size - (64 << 10))
        with ws.datasets.filed_later(), pytest.raises(StorageFullError):
            made += (ws.datasets.put({"data": np.full(1000, number)}) for number in range(100))
        assert len(made) > 3
        held()
        with pytest.raises(StorageFullError):  # rather than that they are damaged
            ws.datasets.get_many(made)
        free.unlink()
        assert [ws.datasets.get(dataset.id)["data"][0] for dataset in made] == list(range(len(made)))
        assert {found.id for found in ws.datasets.list(limit=1000)} == {dataset.id for dataset in made}
