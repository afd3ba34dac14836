"""The conformance suite finds what is wrong with a store: it fails for stores with one defect each."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import workbench

BROKEN = """
import uuid
import pytest
from workbench.errors import NotFoundError
from workbench.storage import FsspecStore
from workbench.storage.etags import etag
from workbench.storage.testing import StoreTests


class Suite(StoreTests):
    many = 40

    @pytest.fixture
    def store(self):
        return self.Broken(f"memory://{uuid.uuid4().hex}")


class TestSound(Suite):
    Broken = FsspecStore


class TestDropsText(Suite):
    class Broken(FsspecStore):
        def put(self, collection, key, data, *, overwrite=True):
            info = super().put(collection, key, b"" if isinstance(data, str) else data, overwrite=overwrite)
            return info


class TestListsOnePage(Suite):
    class Broken(FsspecStore):
        def list(self, collection, **options):
            options["limit"] = min(options.get("limit") or 30, 30)
            return super().list(collection, **options)


class TestSilentlyReplaces(Suite):
    class Broken(FsspecStore):
        def put(self, collection, key, data, *, overwrite=True):
            return super().put(collection, key, data)


class TestAbsentIsEmpty(Suite):
    class Broken(FsspecStore):
        def get(self, collection, key, start=None, stop=None):
            try:
                return super().get(collection, key, start, stop)
            except NotFoundError:
                return b""


class TestTearsObjects(Suite):
    class Broken(FsspecStore):
        def put(self, collection, key, data, *, overwrite=True):
            if overwrite and len(data) > 1:
                super().put(collection, key, data[: len(data) // 2])
            return super().put(collection, key, data, overwrite=overwrite)


class TestAlwaysPlainEtag(Suite):
    class Broken(FsspecStore):
        def head(self, collection, key):
            return super().head(collection, key).model_copy(update={"etag": etag(self.get(collection, key))})


class TestDeletesWithoutLooking(Suite):
    class Broken(FsspecStore):
        def delete(self, collection, keys):
            return [super(type(self), self).delete(collection, [key]) and True for key in keys]
"""

FINDS = {
    "TestDropsText": "test_what_is_put_is_read_back_as_bytes[text",
    "TestListsOnePage": "test_listing_goes_on_past_a_thousand_objects",
    "TestSilentlyReplaces": "test_of_many_creators_one_wins",
    "TestAbsentIsEmpty": "test_absent_object_is_not_found_where_one_was_asked_for",
    "TestTearsObjects": "test_readers_never_see_a_part_of_an_object",
    "TestAlwaysPlainEtag": "test_etag_of_a_large_object_is_made_of_parts",
    "TestDeletesWithoutLooking": "test_delete_tells_for_each_object_whether_it_was_there",
}


def test_suite_fails_for_broken_stores_and_for_no_sound_one(tmp_path: Path) -> None:
    file = tmp_path / "test_broken.py"
    file.write_text(BROKEN)
    tests = {test.partition("[")[0] for test in FINDS.values()}
    picked = [f"{file}::TestSound::{test}" for test in sorted(tests)]
    picked += [f"{file}::{store}::{test.partition('[')[0]}" for store, test in FINDS.items()]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=no", "-rf", *picked]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": str(Path(workbench.__file__).parent.parent),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # loading all that is installed takes longer than the tests
        },
        capture_output=True,
        text=True,
        timeout=120,
    )
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAILED")]
    assert failed, done.stdout + done.stderr
    for store, test in FINDS.items():
        assert any(f"::{store}::{test}" in line for line in failed), (
            f"{store}: {test} did not fail\n{done.stdout}"
        )
    assert not any("TestSound" in line for line in failed)
