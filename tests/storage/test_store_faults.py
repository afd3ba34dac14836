"""Stores under real faults: full disks, read-only places, killed and racing processes, servers that refuse."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from s3server import BUCKET, S3Server

import workbench
from workbench.errors import NotFoundError, ReadOnlyError, StorageError, StorageFullError
from workbench.storage import FsspecStore

REPOSITORY = Path(workbench.__file__).parent.parent


def start(script: str, *arguments: object) -> subprocess.Popen[str]:
    """Start a Python process that runs the script."""
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> str:
    """Return what a process printed, once it has ended well."""
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return out


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Give a function that mounts a small file system of its own (and mounts it again with other options)."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = False

    def mount(options: str) -> Path:
        nonlocal mounted
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, text=True
        )
        if done.returncode:
            pytest.skip(f"no file system can be mounted here (needs root): {done.stderr.strip()}")
        mounted = True
        return folder

    if not sys.platform.startswith("linux"):
        pytest.skip("mounting a small file system is written for Linux")
    yield mount
    if mounted:
        subprocess.run(["umount", str(folder)], check=True)


# -- full


def test_full_disk_is_named_and_leaves_nothing_behind(mount: Callable[[str], Path]) -> None:
    store = FsspecStore(mount("size=2m") / "store")
    store.create_collections(["box"])
    store.put("box", "kept", b"old" * 1000)
    before = sorted(p.name for p in Path(store.url, "box").iterdir())
    with pytest.raises(StorageFullError, match="no space"):
        store.put("box", "kept", b"x" * 4_000_000)
    with pytest.raises(StorageFullError), store.stage("box") as staged, staged.path.open("wb") as file:
        file.write(b"x" * 4_000_000)
    assert sorted(p.name for p in Path(store.url, "box").iterdir()) == before
    assert store.get("box", "kept") == b"old" * 1000
    store.put("box", "small", b"there is room again")


def test_file_size_limit_is_like_a_full_disk(tmp_path: Path) -> None:
    script = """
import resource, sys
from workbench.errors import StorageFullError
from workbench.storage import FsspecStore
store = FsspecStore(sys.argv[1])
store.create_collections(["box"])
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    store.put("box", "a", b"x" * 200_000)
except StorageFullError:
    print([o.key for o in store.list("box")])
"""
    assert finish(start(script, tmp_path)) == "[]\n"
    assert [p.name for p in (tmp_path / "box").iterdir()] == [".collection"]


# -- read-only


def test_read_only_folder_can_be_read_and_says_so_when_written(mount: Callable[[str], Path]) -> None:
    folder = mount("size=2m")
    writable = FsspecStore(folder / "store")
    writable.create_collections(["box"])
    writable.put("box", "a/b", b"content")
    mount("remount,ro")
    store = FsspecStore(folder / "store")
    assert store.create_collections(["box"]) == []
    assert store.get("box", "a/b") == b"content"
    for write in (
        lambda: store.put("box", "a/b", b"other"),
        lambda: store.put("box", "new", b"other", overwrite=False),
        lambda: store.put_unique("box", {"new": b"other"}),
        lambda: store.delete("box", ["a/b"]),
        lambda: store.create_collections(["other"]),
        lambda: store.delete_collections(["box"], force=True),
    ):
        with pytest.raises(ReadOnlyError, match="read-only"):
            write()
    assert [o.key for o in store.list("box")] == ["a/b"]


# -- processes


def test_processes_writing_one_key_leave_one_whole_object(tmp_path: Path) -> None:
    script = """
import sys
from workbench.storage import FsspecStore
store = FsspecStore(sys.argv[1])
for _ in range(20):
    store.put("box", "nested/key", sys.argv[2] * 300_000)
try:
    store.put("box", "nested/once", sys.argv[2], overwrite=False)
    print("won")
except FileExistsError:
    print("lost")
"""
    store = FsspecStore(tmp_path)
    store.create_collections(["box"])
    store.put("box", "nested/key", "0" * 300_000)
    writers = [start(script, tmp_path, digit) for digit in "1234"]
    seen = set()
    while any(w.poll() is None for w in writers):
        data = store.get("box", "nested/key")
        assert data == data[:1] * 300_000, "a torn object"
        seen.add(data[:1])
    assert sorted(finish(w) for w in writers) == ["lost\n"] * 3 + ["won\n"]
    assert store.get("box", "nested/key")[:1] in (b"1", b"2", b"3", b"4")
    assert len(seen) > 1, "the reader saw no write"
    assert sorted(p.name for p in (tmp_path / "box").iterdir()) == [".collection", "nested"]


def test_killed_writer_leaves_nothing_visible_and_is_swept(tmp_path: Path) -> None:
    script = """
import sys, time
from workbench.storage import FsspecStore
with FsspecStore(sys.argv[1]).stage("box") as staged:
    staged.path.write_bytes(b"half of it")
    print("written", flush=True)
    time.sleep(60)
"""
    store = FsspecStore(tmp_path)
    store.create_collections(["box"])
    process = start(script, tmp_path)
    assert process.stdout is not None
    assert process.stdout.readline() == "written\n"
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=10)
    assert list(store.list("box")) == []
    assert store.delete_collections(["other"]) == [False]
    left = [p for p in (tmp_path / "box").iterdir() if p.name != ".collection"]
    assert len(left) == 1
    assert store.sweep_stale() == 0, "a day has not passed"
    two_days_ago = time.time() - 2 * 86400
    for path in (left[0], tmp_path / "box" / ".collection"):
        os.utime(path, (two_days_ago, two_days_ago))
    store.create_collections(["box"])
    assert not left[0].exists()


def test_deleted_collection_is_noticed_by_another_process(tmp_path: Path) -> None:
    one, two = FsspecStore(tmp_path), FsspecStore(tmp_path)
    one.create_collections(["box"])
    one.put("box", "a/b", b"1")
    two.delete_collections(["box"], force=True)
    for call in (
        lambda: one.put("box", "a/b", b"2"),
        lambda: one.put("box", "c", b"2"),
        lambda: one.get("box", "a/b"),
        lambda: one.list("box"),
    ):
        with pytest.raises(NotFoundError, match="no collection 'box'"):
            call()
    assert two.list_collections() == []


def test_fsync_reaches_file_and_folders_before_a_put_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    fsync = os.fsync

    def recording(descriptor: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        fsync(descriptor)

    if not Path("/proc/self/fd").exists():
        pytest.skip("no /proc here to tell which file is synced")
    store = FsspecStore(tmp_path, durability="fsync")
    store.create_collections(["box"])
    monkeypatch.setattr(os, "fsync", recording)
    store.put("box", "a/b", b"1")
    assert synced[0].startswith(f"{tmp_path}/box/.tmp-")
    assert synced[1:] == [f"{tmp_path}/box/a", f"{tmp_path}/box"]
    synced.clear()
    with store.stage("box") as staged:
        staged.path.write_bytes(b"2")
        staged.publish("c")
    assert synced == [str(staged.path), f"{tmp_path}/box"]
    synced.clear()
    FsspecStore(tmp_path).put("box", "d", b"3")
    assert synced == []


# -- servers


def wrong(s3: S3Server, **changes: Any) -> dict[str, Any]:
    return {**s3.storage_options, **changes}


@pytest.mark.s3
@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"secret": "wrong-secret"}, "refuses the credentials.*storage_options"),
        ({"key": "nobody"}, "refuses the credentials.*storage_options"),
        ({"key": None, "secret": None}, "refuses the credentials.*storage_options"),
        ({"endpoint_url": "http://127.0.0.1:9"}, "cannot be reached.*endpoint_url"),
    ],
)
def test_server_that_refuses_is_named_with_what_to_check(
    s3: S3Server, changes: dict[str, Any], says: str
) -> None:
    url = s3.new_url()
    store = FsspecStore(url, wrong(s3, **changes))
    began = time.monotonic()
    with pytest.raises(StorageError, match=says) as caught:
        store.create_collections(["box"])
    assert url in str(caught.value)
    assert "wrong-secret" not in str(caught.value)
    assert time.monotonic() - began < 20


@pytest.mark.s3
def test_absent_bucket_is_named_and_not_made(s3: S3Server) -> None:
    store = FsspecStore("s3://there-is-no-such-bucket/prefix", s3.storage_options)
    calls: list[Callable[[], Any]] = [
        lambda: store.create_collections(["box"]),
        lambda: store.list("box"),
        lambda: store.put("box", "a", b"1"),
        lambda: store.collections_exist(["box"]),
        store.list_collections,
        store.is_empty,
    ]
    for call in calls:
        with pytest.raises(NotFoundError, match="there-is-no-such-bucket"):
            call()
    client = s3.client()
    assert [b["Name"] for b in client.list_buckets()["Buckets"]] == [BUCKET]
    client.close()


@pytest.mark.s3
def test_unfinished_upload_is_swept(s3: S3Server) -> None:
    store = FsspecStore(s3.new_url(), s3.storage_options)
    store.create_collections(["box"])
    client = s3.client()
    prefix = store.url.partition(f"{BUCKET}/")[2]
    client.create_multipart_upload(Bucket=BUCKET, Key=f"{prefix}/box/half")
    assert store.sweep_stale() == 0
    assert store.sweep_stale(older_than_s=-60) == 1
    assert not client.list_multipart_uploads(Bucket=BUCKET, Prefix=prefix).get("Uploads")
    client.close()


@pytest.mark.s3
def test_process_that_used_s3_ends_without_warnings(s3: S3Server) -> None:
    script = """
import json, sys
from workbench.storage import FsspecStore
store = FsspecStore(sys.argv[1], json.loads(sys.argv[2]))
store.create_collections(["box"])
store.put("box", "a", b"1")
with store.open("box", "a") as file:
    print(file.read())
store.close()
"""
    import json

    process = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, s3.new_url(), json.dumps(s3.storage_options)],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (process.returncode, process.stdout, process.stderr) == (0, "b'1'\n", "")
