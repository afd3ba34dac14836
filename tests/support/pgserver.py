"""A real PostgreSQL server on loopback for tests, from the system's packages; works for root too."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa


class PostgresServer:
    """One running server, which gives empty databases."""

    def __init__(self, binaries: Path) -> None:
        self._binaries = binaries
        self._folder = Path()
        self._run_as: dict[str, Any] = {}
        self.url = ""

    @classmethod
    def find(cls) -> PostgresServer | None:
        """Return a server that can be started, or None where there are no binaries."""
        on_path = shutil.which("initdb")
        if on_path:
            return cls(Path(on_path).parent)
        versions = sorted(
            (p for p in Path("/usr/lib/postgresql").glob("*/bin") if (p / "initdb").exists()),
            key=lambda p: float(p.parent.name),
        )
        return cls(versions[-1]) if versions else None

    def start(self) -> None:
        """Make a database cluster in a temporary folder and start the server."""
        # not below pytest's own folder: user postgres could not enter that one
        self._folder = Path(tempfile.mkdtemp(prefix="wb-pg-"))
        if os.getuid() == 0:  # the server refuses to run as root
            shutil.chown(self._folder, "postgres", "postgres")
            self._run_as = {"user": "postgres", "group": "postgres", "extra_groups": []}
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        data = str(self._folder / "data")
        options = f"-c listen_addresses=127.0.0.1 -p {port} -k {self._folder} -c fsync=off"
        self._run("initdb", "-D", data, "-U", "wb", "-A", "trust", "--no-sync", "-E", "UTF8", "--no-locale")
        self._run("pg_ctl", "-D", data, "-l", str(self._folder / "log"), "-w", "-o", options, "start")
        self.url = f"postgresql+psycopg://wb@127.0.0.1:{port}/postgres"

    @contextmanager
    def new_database(self) -> Iterator[str]:
        """Give the URL of an empty database, which is dropped in the end."""
        name = f"wb_{uuid.uuid4().hex[:12]}"
        admin = sa.create_engine(self.url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
        with admin.connect() as connection:
            connection.execute(sa.text(f"CREATE DATABASE {name}"))
        yield sa.make_url(self.url).set(database=name).render_as_string(hide_password=False)
        with admin.connect() as connection:
            connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))

    def stop(self) -> None:
        """End the server and remove its folder."""
        self._run("pg_ctl", "-D", str(self._folder / "data"), "-m", "immediate", "stop")
        shutil.rmtree(self._folder, ignore_errors=True)

    def _run(self, program: str, *arguments: str) -> None:
        # to a file, not a pipe: the server keeps the descriptor open and a pipe would never end
        with (self._folder / "out").open("ab") as out:
            done = subprocess.run(
                [str(self._binaries / program), *arguments],
                cwd=self._folder,
                stdout=out,
                stderr=out,
                env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
                **self._run_as,
            )
        if done.returncode:
            raise RuntimeError(
                f"{program} failed: {(self._folder / 'out').read_text(errors='replace')[-2000:]}"
            )
