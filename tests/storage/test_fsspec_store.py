"""`FsspecStore` keeps the contract wherever it stands, and what is particular to each place."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import pytest
from s3server import S3Server

import workbench
from workbench.errors import ConflictError, InvalidInputError, StorageError
from workbench.storage import FsspecStore
from workbench.storage.etags import PART_SIZE
from workbench.storage.testing import StoreTests


class TestFolder(StoreTests):
    @pytest.fixture
    def store(self, tmp_path: Path) -> FsspecStore:
        return FsspecStore(tmp_path / "a folder")


class TestFileUrl(StoreTests):
    many = 30

    @pytest.fixture
    def store(self, tmp_path: Path) -> FsspecStore:
        return FsspecStore((tmp_path / "a folder").as_uri(), durability="fsync")


class TestMemory(StoreTests):
    @pytest.fixture
    def store(self, memory_url: str) -> FsspecStore:
        return FsspecStore(memory_url)


@pytest.mark.s3
class TestS3(StoreTests):
    @pytest.fixture
    def store(self, s3: S3Server) -> Iterator[FsspecStore]:
        store = FsspecStore(s3.new_url(), s3.storage_options)
        yield store
        store.close()


# -- URLs


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("/data/bench/", "/data/bench"),
        ("file:///data/a%20b", "/data/a b"),
        ("local:///data/bench", "/data/bench"),
        ("memory://name/", "memory://name"),
        ("s3://bucket/prefix/", "s3://bucket/prefix"),
        ("s3://bucket", "s3://bucket"),
        ("s3://AKIA:se%2Fcret@bucket/prefix", "s3://bucket/prefix"),
        ("ftp://user:se%2Fcret@example.org/data", "ftp://example.org/data"),
    ],
)
def test_url_is_shown_ready_to_be_opened_and_without_credentials(url: str, shown: str) -> None:
    store = FsspecStore(url, {"token": "token-secret"})
    assert store.url == shown
    assert repr(store) == f"FsspecStore({shown!r})"


def test_relative_folder_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert FsspecStore("data/bench").url == str(tmp_path / "data" / "bench")
    assert FsspecStore("~/bench").url == str(Path.home() / "bench")


@pytest.mark.parametrize("url", ["file://relative/path", "s3://", "s3:///prefix", "nonsense://place"])
def test_url_without_meaning_is_refused_at_once(url: str) -> None:
    with pytest.raises(InvalidInputError, match=r"Write|Use|write"):
        FsspecStore(url)


def test_password_in_a_url_is_in_no_error(tmp_path: Path) -> None:
    store = FsspecStore("ftp://user:se%2Fcret@127.0.0.1:9/data")
    with pytest.raises(StorageError) as caught:
        store.put("box", "a", b"1")
    assert "se/cret" not in str(caught.value)
    assert "se%2Fcret" not in str(caught.value)


@pytest.mark.s3
def test_credentials_may_stand_in_the_url(s3: S3Server) -> None:
    bare = s3.new_url()
    options = {k: v for k, v in s3.storage_options.items() if k not in {"key", "secret"}}
    store = FsspecStore(bare.replace("s3://", f"s3://{s3.key}:{s3.secret}@"), options)
    assert store.create_collections(["box"]) == ["box"]
    assert store.url == bare


# -- neighbours


@pytest.fixture(params=["folder", "memory", pytest.param("s3", marks=pytest.mark.s3)])
def open_at(request: pytest.FixtureRequest, tmp_path: Path, memory_url: str) -> Callable[[str], FsspecStore]:
    """Give a function that opens a store at a path below one place."""
    if request.param == "s3":
        server: S3Server = request.getfixturevalue("s3")
        url, options = server.new_url(), server.storage_options
        return lambda path: FsspecStore(f"{url}/{path}", options)
    base = str(tmp_path) if request.param == "folder" else memory_url
    return lambda path: FsspecStore(f"{base}/{path}")


def test_stores_with_like_prefixes_never_see_each_other(open_at: Callable[[str], FsspecStore]) -> None:
    stores = {path: open_at(path) for path in ("a", "ab", "a/b", "a/b/c")}
    for path, store in stores.items():
        assert store.list_collections() == []
        store.create_collections(["box", f"only-{path.replace('/', '-')}"])
        store.put("box", "key", path)
    for path, store in stores.items():
        assert store.list_collections() == ["box", f"only-{path.replace('/', '-')}"]
        assert [o.key for o in store.list("box")] == ["key"]
        assert store.get("box", "key") == path.encode()
    assert stores["a"].delete_collections(["box", "b"], force=True) == [True, False]
    assert stores["a"].list_collections() == ["only-a"]
    assert all(store.get("box", "key") == path.encode() for path, store in stores.items() if path != "a")


def test_two_stores_on_one_place_are_one(open_at: Callable[[str], FsspecStore]) -> None:
    one, two = open_at("x"), open_at("x")
    one.create_collections(["box"])
    one.put("box", "a", b"1")
    assert two.list_collections() == ["box"]
    two.put("box", "a", b"22")
    assert one.get("box", "a") == b"22"
    assert [o.size for o in one.list("box")] == [2]
    assert list(two.delete("box", ["a"])) == [True]
    assert list(one.list("box")) == []


# -- folders


@pytest.mark.parametrize("place", ["folder", "memory"])
def test_key_below_an_object_is_a_conflict_where_keys_are_files(
    place: str, tmp_path: Path, memory_url: str
) -> None:
    store = FsspecStore(tmp_path if place == "folder" else memory_url)
    store.create_collections(["box"])
    store.put("box", "a", b"1")
    with pytest.raises(ConflictError, match="a part of the key is an object"):
        store.put("box", "a/b", b"2")
    assert [o.key for o in store.list("box")] == ["a"]


def test_objects_are_plain_files_with_the_rights_of_new_files(tmp_path: Path) -> None:
    store = FsspecStore(tmp_path)
    store.create_collections(["box"])
    store.put("box", "a/b.txt", "text")
    plain = tmp_path / "plain"
    plain.touch()
    assert (tmp_path / "box/a/b.txt").read_text() == "text"
    assert (tmp_path / "box/a/b.txt").stat().st_mode == plain.stat().st_mode


def test_files_of_others_are_objects_and_hidden_ones_are_not(tmp_path: Path) -> None:
    store = FsspecStore(tmp_path)
    store.create_collections(["box"])
    for name in ("by-hand.txt", "sub/by-hand.txt", ".hidden", "sub/.hidden", ".tmp-abc"):
        path = tmp_path / "box" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("1")
    assert [o.key for o in store.list("box")] == ["by-hand.txt", "sub/by-hand.txt"]


def test_folder_store_imports_neither_fsspec_nor_threads() -> None:
    script = """
import sys, tempfile
from workbench.storage import FsspecStore
with tempfile.TemporaryDirectory() as folder:
    store = FsspecStore(folder)
    store.create_collections(["box"])
    store.put("box", "a", b"1")
    assert (store.get("box", "a"), store.exist("box", ["a"]), store.head("box", "a").size) == (b"1", [True], 1)
    store.open("box", "a").close()
print(sorted({"fsspec", "s3fs", "asyncio", "numpy", "concurrent.futures"} & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(Path(workbench.__file__).parent.parent)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")


# -- S3


@pytest.fixture
def requests(s3: S3Server) -> Iterator[tuple[FsspecStore, list[str]]]:
    """Give a store with a warm connection and the list of requests that it sends from now on."""
    store = FsspecStore(s3.new_url(), s3.storage_options)
    store.create_collections(["box"])
    sent: list[str] = []

    def record(request: Any, **_: Any) -> None:
        sent.append(f"{request.method} {request.headers.get('Range', b'').decode()}".strip())

    events = cast(Any, store._place).fs.s3.meta.events
    events.register("before-send.s3", record)
    yield store, sent
    events.unregister("before-send.s3", record)


@pytest.mark.s3
def test_put_and_get_cost_one_request_each(requests: tuple[FsspecStore, list[str]]) -> None:
    store, sent = requests
    store.put("box", "a", b"1")
    store.put("box", "b", b"2", overwrite=False)
    store.get("box", "a")
    store.get("box", "a", 0, 1)
    store.head("box", "a")
    assert sent == ["PUT", "PUT", "GET", "GET bytes=0-0", "HEAD"]


@pytest.mark.s3
def test_small_reads_of_a_large_object_fetch_little(requests: tuple[FsspecStore, list[str]]) -> None:
    store, sent = requests
    data = os.urandom(12_000_000)
    store.put("box", "large", data)
    sent.clear()
    with store.open("box", "large") as file:
        for start in (0, 100, 8, 700_000):  # the steps of HDF5 on its way to one key
            file.seek(start)
            assert file.read(50) == data[start : start + 50]
        file.seek(5_000_000)
        assert file.read(4 * 2**20) == data[5_000_000 : 5_000_000 + 4 * 2**20]
    assert sent == ["HEAD", "GET bytes=0-1048575", f"GET bytes=5000000-{5_000_000 + 4 * 2**20 - 1}"]


@pytest.mark.s3
def test_listing_of_a_few_asks_for_a_few(requests: tuple[FsspecStore, list[str]]) -> None:
    store, sent = requests
    store.put_many("box", {f"{i:02}": b"1" for i in range(20)})
    sent.clear()
    assert [o.key for o in store.list("box", limit=3)] == ["00", "01", "02"]
    assert sent == ["HEAD", "GET"]


@pytest.mark.s3
def test_of_many_that_replace_an_object_one_wins(s3: S3Server) -> None:
    store = FsspecStore(s3.new_url(), s3.storage_options)
    store.create_collections(["c"])
    for turn in range(3):
        store.put("c", "k", b"first")
        gate = threading.Barrier(6)

        def replace(i: int, gate: threading.Barrier = gate) -> int | None:
            gate.wait()
            try:
                store.replace("c", "k", f"by {i}", b"first")
            except ConflictError:
                return None
            return i

        with ThreadPoolExecutor(6) as pool:
            winners = [i for i in pool.map(replace, range(6)) if i is not None]
        assert store.get("c", "k") == f"by {winners[0]}".encode(), turn
        assert len(winners) == 1


@pytest.mark.s3
def test_object_replaced_while_it_is_read_is_never_mixed(s3: S3Server) -> None:
    store = FsspecStore(s3.new_url(), s3.storage_options)
    store.create_collections(["box"])
    size = 2 * PART_SIZE + 1
    store.put("box", "a", b"0" * size)
    with ThreadPoolExecutor(2) as pool:
        writing = pool.submit(lambda: [store.put("box", "a", digit * size) for digit in (b"1", b"2")])
        while not writing.done():
            data = store.get("box", "a")
            assert data == data[:1] * size
        writing.result()
    assert store.get("box", "a") == b"2" * size
