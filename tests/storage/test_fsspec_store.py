"""`FsspecStore` keeps the contract wherever it stands, and what is particular to each place."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from s3server import S3Server

from workbench.storage import FsspecStore
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
