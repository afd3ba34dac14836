"""The conformance suite of stores: subclass it, give a fixture, and pytest runs it against your `Store`.

    class TestMyStore(StoreTests):
        @pytest.fixture
        def store(self, tmp_path):
            store = MyStore(tmp_path)
            yield store
            store.close()

The store must be empty. Whoever writes a store needs pytest installed, users of a store do not.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest

from workbench.errors import (
    AlreadyExistsError,
    ConflictError,
    InUseError,
    InvalidInputError,
    InvalidNameError,
    NotFoundError,
    WorkbenchError,
)
from workbench.storage.etags import PART_SIZE, etag, multipart_etag
from workbench.storage.store import Data, Store

BAD_KEYS = [
    "",
    "/a",
    "a/",
    "a//b",
    "..",
    "../a",
    "a/../b",
    "a/..",
    ".",
    "./a",
    "a\\b",
    "a\nb",
    ".tmp-1",
    "a/.b",
    "a" * 513,
]
BAD_COLLECTIONS = ["", ".", "..", "a/b", "../a", ".hidden", "a b", "-a", "a" * 101]


class StoreTests:
    """What every `Store` does. Sizes and counts are class attributes, to be lowered for a slow server."""

    many = 1010  # objects in one collection: more than one answer of S3 holds
    large = 2 * PART_SIZE + 12_345  # bytes: three parts
    clock_skew_s = 60.0

    @pytest.fixture
    def store(self) -> Store:
        raise NotImplementedError("Give a fixture named store that returns an empty store.")

    @pytest.fixture
    def box(self, store: Store) -> str:
        """A new collection."""
        assert store.create_collections(["box"]) == ["box"]
        return "box"

    # -- the store

    def test_url_is_text_and_flags_are_booleans(self, store: Store) -> None:
        assert isinstance(store.url, str)
        assert store.url
        assert isinstance(store.is_shared, bool)
        assert isinstance(store.is_local, bool)

    # -- collections

    def test_new_store_has_no_collections(self, store: Store) -> None:
        assert store.list_collections() == []

    def test_create_returns_only_the_new_collections(self, store: Store) -> None:
        assert store.create_collections(["b", "a"]) == ["b", "a"]
        assert store.create_collections(["a", "c", "c"]) == ["c"]
        assert store.list_collections() == ["a", "b", "c"]

    def test_empty_collection_exists_and_lists_nothing(self, store: Store, box: str) -> None:
        assert store.list_collections() == [box]
        assert list(store.list(box)) == []

    def test_collections_exist_answers_in_order(self, store: Store, box: str) -> None:
        assert store.collections_exist(["absent", box, "absent"]) == [False, True, False]
        assert store.collections_exist([]) == []

    def test_collection_survives_its_last_object(self, store: Store, box: str) -> None:
        store.put(box, "a/b", b"1")
        store.delete(box, ["a/b"])
        assert store.collections_exist([box]) == [True]

    def test_delete_collections_tells_which_were_there(self, store: Store, box: str) -> None:
        assert list(store.delete_collections(["absent", box])) == [False, True]
        assert store.list_collections() == []

    def test_collection_with_objects_is_deleted_only_by_force(self, store: Store, box: str) -> None:
        store.create_collections(["empty"])
        store.put(box, "a/b", b"1")
        with pytest.raises(InUseError) as caught:
            store.delete_collections(["empty", box])
        assert list(caught.value.users) == [box]
        assert store.list_collections() == [box, "empty"]
        assert store.get(box, "a/b") == b"1"
        assert list(store.delete_collections([box], force=True)) == [True]
        assert store.list_collections() == ["empty"]

    def test_recreated_collection_is_empty(self, store: Store, box: str) -> None:
        store.put(box, "a", b"1")
        store.delete_collections([box], force=True)
        with pytest.raises(NotFoundError):
            store.put(box, "a", b"2")
        assert store.create_collections([box]) == [box]
        assert list(store.list(box)) == []

    @pytest.mark.parametrize("name", BAD_COLLECTIONS)
    def test_bad_collection_name_is_refused(self, store: Store, name: str) -> None:
        calls: list[Callable[[], Any]] = [
            lambda: store.create_collections(["fine", name]),
            lambda: store.collections_exist([name]),
            lambda: store.delete_collections([name]),
            lambda: store.put(name, "a", b""),
            lambda: store.get(name, "a"),
            lambda: store.exist(name, ["a"]),
            lambda: store.delete(name, ["a"]),
            lambda: list(store.list(name)),
        ]
        for call in calls:
            with pytest.raises(InvalidNameError):
                call()
        assert store.list_collections() == []

    # -- put and get

    @pytest.mark.parametrize(
        "data",
        [b"", b"bytes", bytearray(b"array"), memoryview(b"view"), "text: äöü €", bytes(range(256)) * 40],
    )
    def test_what_is_put_is_read_back_as_bytes(self, store: Store, box: str, data: Data) -> None:
        expected = data.encode() if isinstance(data, str) else bytes(data)
        info = store.put(box, "key", data)
        assert (info.key, info.size) == ("key", len(expected))
        found = store.get(box, "key")
        assert type(found) is bytes
        assert found == expected

    def test_data_that_is_no_bytes_is_refused(self, store: Store, box: str) -> None:
        for data in (None, 5, {"a": 1}, ["a"]):
            with pytest.raises(InvalidInputError):
                store.put(box, "key", data)  # type: ignore[arg-type]
        assert store.exist(box, ["key"]) == [False]

    @pytest.mark.parametrize(
        "key", ["a", "a/b/c.json", "Ä ö/€ %20+&?#=.h5", "a" * 200, "a.b/1.2.json", "~a", "a:b"]
    )
    def test_key_is_kept_as_it_is(self, store: Store, box: str, key: str) -> None:
        store.put(box, key, b"1")
        assert [o.key for o in store.list(box)] == [key]
        assert store.get(box, key) == b"1"
        assert store.exist(box, [key]) == [True]

    @pytest.mark.parametrize("key", BAD_KEYS)
    def test_bad_key_is_refused_everywhere(self, store: Store, box: str, key: str) -> None:
        calls: list[Callable[[], Any]] = [
            lambda: store.put(box, key, b""),
            lambda: store.put_many(box, {"fine": b"", key: b""}),
            lambda: store.put_unique(box, {"fine": b"", key: b""}),
            lambda: store.get(box, key),
            lambda: store.get_many(box, [key]),
            lambda: store.open(box, key),
            lambda: store.head(box, key),
            lambda: store.exist(box, [key]),
            lambda: store.delete(box, [key]),
            lambda: store.local_path(box, key),
        ]
        for call in calls:
            with pytest.raises(InvalidNameError):
                call()
        with store.stage(box) as staged:
            staged.path.write_bytes(b"1")
            with pytest.raises(InvalidNameError):
                staged.publish(key)
        assert list(store.list(box)) == []

    def test_put_replaces_unless_told_otherwise(self, store: Store, box: str) -> None:
        store.put(box, "a/b", b"old")
        store.put(box, "a/b", b"newer")
        assert store.get(box, "a/b") == b"newer"
        with pytest.raises(AlreadyExistsError):
            store.put(box, "a/b", b"newest", overwrite=False)
        assert store.get(box, "a/b") == b"newer"
        store.put(box, "a/c", b"first", overwrite=False)
        assert store.get(box, "a/c") == b"first"

    def test_put_into_an_absent_collection_is_not_found(self, store: Store) -> None:
        for call in (
            lambda: store.put("absent", "a", b""),
            lambda: store.put_many("absent", {"a": b""}),
            lambda: store.put_unique("absent", {"a": b""}),
            lambda: store.stage("absent").__enter__(),
        ):
            with pytest.raises(NotFoundError):
                call()
        assert store.list_collections() == []

    def test_get_of_a_range(self, store: Store, box: str) -> None:
        store.put(box, "a", b"0123456789")
        assert store.get(box, "a", 2, 5) == b"234"
        assert store.get(box, "a", 7) == b"789"
        assert store.get(box, "a", stop=3) == b"012"
        assert store.get(box, "a", 8, 50) == b"89"
        for start, stop in ((10, 12), (20, None), (5, 5), (5, 2), (0, 0)):
            assert store.get(box, "a", start, stop) == b""
        with pytest.raises(InvalidInputError):
            store.get(box, "a", -1)
        with pytest.raises(InvalidInputError):
            store.get(box, "a", stop=-1)

    def test_absent_object_is_not_found_where_one_was_asked_for(self, store: Store, box: str) -> None:
        store.put(box, "a/b", b"1")
        for collection, key in ((box, "absent"), (box, "a"), (box, "a/b/c"), ("absent", "a")):
            for call in (store.get, store.head, store.open):
                with pytest.raises(NotFoundError):
                    call(collection, key)
            for span in ((0, 5), (5, 5)):
                with pytest.raises(NotFoundError):
                    store.get(collection, key, *span)

    def test_absent_objects_are_none_or_false_where_many_were_asked_for(self, store: Store, box: str) -> None:
        store.put(box, "a/b", b"1")
        keys = ["absent", "a/b", "a", "a/b/c"]
        assert store.get_many(box, keys) == [None, b"1", None, None]
        assert store.exist(box, keys) == [False, True, False, False]
        assert store.get_many("absent", keys) == [None] * 4
        assert store.exist("absent", keys) == [False] * 4
        assert list(store.delete("absent", keys)) == [False] * 4
        assert (store.get_many(box, []), store.exist(box, []), list(store.delete(box, []))) == ([], [], [])

    def test_delete_tells_for_each_object_whether_it_was_there(self, store: Store, box: str) -> None:
        store.put_many(box, {"a/b": b"1", "a/c": b"2", "d": b"3"})
        assert list(store.delete(box, ["a/b", "absent", "d", "d", "a"])) == [True, False, True, False, False]
        assert [o.key for o in store.list(box)] == ["a/c"]

    def test_key_of_a_vanished_prefix_can_be_used(self, store: Store, box: str) -> None:
        store.put(box, "a/b/c", b"1")
        store.delete(box, ["a/b/c"])
        store.put(box, "a", b"2")
        assert [o.key for o in store.list(box)] == ["a"]

    def test_many_are_put_and_read_in_order(self, store: Store, box: str) -> None:
        objects: dict[str, Data] = {f"k/{i:03}": f"content {i}" for i in range(50)}
        infos = store.put_many(box, objects)
        assert [i.key for i in infos] == list(objects)
        assert store.get_many(box, reversed(objects)) == [str(d).encode() for d in reversed(objects.values())]
        with pytest.raises(AlreadyExistsError):
            store.put_many(box, {"k/007": b"other"}, overwrite=False)
        assert store.get(box, "k/007") == b"content 7"

    # -- facts of an object

    def test_an_object_is_replaced_only_if_it_is_what_it_was(self, store: Store, box: str) -> None:
        store.put(box, "a/b", b"1")
        info = store.replace(box, "a/b", "two", b"1")
        assert (info.size, info.etag) == (3, store.head(box, "a/b").etag)
        for was in (b"1", b"", b"two and more"):
            with pytest.raises(ConflictError, match=r"a/b was changed .*meanwhile"):
                store.replace(box, "a/b", b"3", was)
        with pytest.raises(ConflictError, match="meanwhile"):
            store.replace(box, "absent", b"3", b"")
        assert store.get_many(box, ["a/b", "absent"]) == [b"two", None]
        big = bytes(17 * 2**20)
        store.replace(box, "a/b", big, b"two")
        assert store.head(box, "a/b").size == len(big)
        with pytest.raises(ConflictError):
            store.replace(box, "a/b", big[:-1], b"two")
        with pytest.raises(NotFoundError):
            store.replace("nowhere", "a/b", b"3", b"1")

    def test_head_tells_size_time_and_etag(self, store: Store, box: str) -> None:
        before = datetime.now(UTC) - timedelta(seconds=self.clock_skew_s)
        put = store.put(box, "a", b"hello")
        info = store.head(box, "a")
        assert (info.key, info.size, info.etag) == ("a", 5, etag(b"hello"))
        assert info.modified.tzinfo is not None
        assert before < info.modified < before + timedelta(seconds=2 * self.clock_skew_s)
        assert put.etag in (None, info.etag)

    def test_etag_of_an_empty_object_is_the_md5_of_nothing(self, store: Store, box: str) -> None:
        store.put(box, "a", b"")
        assert store.head(box, "a").etag == '"d41d8cd98f00b204e9800998ecf8427e"'

    def test_etag_of_a_large_object_is_made_of_parts(self, store: Store, box: str) -> None:
        data = Random(1).randbytes(self.large)
        store.put(box, "put", data)
        with store.stage(box) as staged:
            staged.path.write_bytes(data)
            staged.publish("staged")
        single = data[: 2 * PART_SIZE - 1]
        store.put(box, "single", single)
        for key in ("put", "staged"):
            assert store.head(box, key).etag == multipart_etag(data)
            assert store.get(box, key) == data
        assert store.head(box, "single").etag == etag(single)

    # -- put_unique

    def test_put_unique_stores_equal_content_once(self, store: Store, box: str) -> None:
        store.put_many(box, {"a": b"one", "b": b"two", "c": b"six"})
        holders = store.put_unique(box, {"x": b"one", "y": "new", "z": b"new", "e": b"", "b": b"two"})
        assert list(holders) == ["x", "y", "z", "e", "b"]
        assert (holders["x"], holders["e"], holders["b"]) == ("a", "e", "b")
        assert holders["y"] == holders["z"]
        assert [o.key for o in store.list(box)] == sorted({"a", "b", "c", "e", holders["y"]})
        for key, data in {"x": b"one", "y": b"new", "z": b"new", "e": b""}.items():
            assert store.get(box, holders[key]) == data

    def test_put_unique_does_not_count_on_what_it_replaces(self, store: Store, box: str) -> None:
        store.put(box, "a", b"one")
        holders = store.put_unique(box, {"x": b"one", "a": b"two"})
        assert {key: store.get(box, holder) for key, holder in holders.items()} == {"x": b"one", "a": b"two"}

    def test_put_unique_knows_large_objects(self, store: Store, box: str) -> None:
        data = Random(2).randbytes(self.large)
        with store.stage(box) as staged:
            staged.path.write_bytes(data)
            staged.publish("first")
        assert store.put_unique(box, {"second": data}) == {"second": "first"}

    # -- listing

    def test_listing_is_sorted_by_the_whole_key(self, store: Store, box: str) -> None:
        keys = [
            "a/b",
            "a.b",
            "a-b",
            "a0",
            "b/c/d",
            "b/c-d",
            "b/c.d",
            "B",
            "ä",
            "a/b.c/d",
            "z/1.2.json",
            "z-1/1.json",
        ]
        store.put_many(box, {key: key for key in keys})
        found = list(store.list(box))
        assert [o.key for o in found] == sorted(keys)
        assert [o.size for o in found] == [len(key.encode()) for key in sorted(keys)]
        assert all(o.modified.tzinfo for o in found)

    def test_listing_by_prefix_after_and_limit(self, store: Store, box: str) -> None:
        keys = sorted(["a", "ab/1", "ab/2/xy", "abc", "abc-d/1", "b/1"])
        store.put_many(box, dict.fromkeys(keys, b"1"))
        for prefix in ("", "a", "ab/", "abc", "b/1x"):
            wanted = [k for k in keys if k.startswith(prefix)]
            assert [o.key for o in store.list(box, prefix=prefix)] == wanted
            for after in ("a", "ab/1", "ab/1z", "abb", "z"):
                rest = [k for k in wanted if k > after]
                assert [o.key for o in store.list(box, prefix=prefix, after=after)] == rest
                assert [o.key for o in store.list(box, prefix=prefix, after=after, limit=2)] == rest[:2]
        assert list(store.list(box, limit=0)) == []
        for prefix in ("../", "/", "a//", "a/../"):
            with pytest.raises(InvalidNameError):
                list(store.list(box, prefix=prefix))

    def test_listing_of_an_absent_collection_is_not_found_at_once(self, store: Store) -> None:
        with pytest.raises(NotFoundError):
            store.list("absent")

    def test_listing_goes_on_past_a_thousand_objects(self, store: Store, box: str) -> None:
        keys = [f"name-{i % 7}/1.{i}.json" if i % 3 else f"{i:05}" for i in range(self.many)]
        store.put_many(box, dict.fromkeys(keys, b"1"))
        keys.sort()
        assert [o.key for o in store.list(box)] == keys
        middle = len(keys) // 2
        assert [o.key for o in store.list(box, after=keys[middle])] == keys[middle + 1 :]
        paged: list[str] = []
        while page := [o.key for o in store.list(box, after=paged[-1] if paged else None, limit=500)]:
            paged += page
        assert paged == keys
        assert list(store.delete_collections([box], force=True)) == [True]
        assert store.list_collections() == []

    # -- files

    def test_open_reads_any_part(self, store: Store, box: str) -> None:
        data = Random(3).randbytes(3_000_000)
        store.put(box, "a/b", data)
        with store.open(box, "a/b") as file:
            assert file.seekable()
            assert file.read(4) == data[:4]
            file.seek(2_500_000)
            assert file.read(100) == data[2_500_000:2_500_100]
            file.seek(-7, 2)
            assert file.read() == data[-7:]
            file.seek(10)
            buffer = bytearray(2_000_000)
            assert file.readinto(buffer) == len(buffer)  # type: ignore[attr-defined]
            assert buffer == data[10:2_000_010]
            assert file.tell() == 2_000_010

    def test_two_open_files_do_not_disturb_each_other(self, store: Store, box: str) -> None:
        store.put(box, "a", b"0123456789")
        with store.open(box, "a") as one, store.open(box, "a") as two:
            one.read(5)
            assert (two.read(2), one.read(2)) == (b"01", b"56")

    def test_staged_file_becomes_an_object_when_published(self, store: Store, box: str) -> None:
        with store.stage(box) as staged:
            staged.path.write_bytes(b"content")
            assert list(store.list(box)) == []
            assert staged.publish("a/b") is True
            assert store.get(box, "a/b") == b"content"
        assert [o.key for o in store.list(box)] == ["a/b"]
        assert not staged.path.exists()

    def test_staged_file_replaces_only_if_it_may(self, store: Store, box: str) -> None:
        store.put(box, "a", b"old")
        with store.stage(box) as staged:
            staged.path.write_bytes(b"new")
            assert staged.publish("a", overwrite=False) is False
        assert store.get(box, "a") == b"old"
        with store.stage(box) as staged:
            staged.path.write_bytes(b"new")
            assert staged.publish("a") is True
        assert store.get(box, "a") == b"new"

    def test_staged_file_that_is_not_published_leaves_nothing(self, store: Store, box: str) -> None:
        with suppress(ZeroDivisionError), store.stage(box) as staged:
            staged.path.write_bytes(b"half")
            raise ZeroDivisionError
        assert not staged.path.exists()
        assert list(store.list(box)) == []

    def test_publishing_a_file_that_was_not_written_is_refused(self, store: Store, box: str) -> None:
        with store.stage(box) as staged, pytest.raises(InvalidInputError):
            staged.publish("a")
        assert list(store.list(box)) == []

    def test_local_path_is_the_object_where_there_is_one(self, store: Store, box: str) -> None:
        store.put(box, "a/b", b"content")
        path = store.local_path(box, "a/b")
        assert (path is not None) == store.is_local
        if path is not None:
            assert path.read_bytes() == b"content"

    # -- several at once

    def test_readers_never_see_a_part_of_an_object(self, store: Store, box: str) -> None:
        size = 300_000
        store.put(box, "a", b"0" * size)
        done = threading.Event()

        def read() -> int:
            count = 0
            while not done.is_set() or not count:
                data = store.get(box, "a")
                assert len(data) == size
                assert data == data[:1] * size, "a torn object"
                count += 1
            return count

        def write(digit: str) -> None:
            for _ in range(8):
                store.put(box, "a", digit * size)

        with ThreadPoolExecutor(6) as pool:
            readers = [pool.submit(read) for _ in range(2)]
            try:
                list(pool.map(write, "1234"))
            finally:
                done.set()
            assert all(reader.result() for reader in readers)
        assert [o.key for o in store.list(box)] == ["a"]

    def test_of_many_creators_one_wins(self, store: Store, box: str) -> None:
        gate = threading.Barrier(6)

        def create(i: int) -> int | None:
            gate.wait()
            try:
                store.put(box, "a/b", f"{i}", overwrite=False)
            except AlreadyExistsError:
                return None
            return i

        with ThreadPoolExecutor(6) as pool:
            winners = [i for i in pool.map(create, range(6)) if i is not None]
        assert len(winners) == 1
        assert store.get(box, "a/b") == str(winners[0]).encode()

    def test_errors_are_of_workbench_and_name_the_object(self, store: Store, box: str) -> None:
        with pytest.raises(WorkbenchError, match="some-key"):
            store.get(box, "some-key")
        with pytest.raises(WorkbenchError, match="some-collection"):
            store.put("some-collection", "a", b"")
