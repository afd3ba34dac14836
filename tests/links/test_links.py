"""The op store: numbers, links, states; on SQLite and PostgreSQL, with several processes, damaged and killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import workbench
from workbench.errors import (
    AlreadyExistsError,
    DamagedError,
    InUseError,
    InvalidInputError,
    NotFoundError,
    VersionError,
)
from workbench.steps import JsonStep, Step
from workbench.versions import Version, VersionedField


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def new_catalog(request: pytest.FixtureRequest) -> Iterator[Callable[[], str | None]]:
    """Return a callable that gives the URL of an empty catalog; None means the one in the workspace."""
    if request.param == "sqlite":
        yield lambda: None
        return
    server = request.getfixturevalue("pg_server")
    with ExitStack() as databases:
        yield lambda: databases.enter_context(server.new_database())


@pytest.fixture
def ws(tmp_path: Path, new_catalog: Callable[[], str | None]) -> Iterator[workbench.Workspace]:
    with workbench.open(tmp_path / "ws", catalog=new_catalog()) as opened:
        yield opened


def made(n: int = 2, **others: object) -> Version:
    """Return a version with one major, one minor and one patch field."""
    values = {"b": 0, "c": 0, **others}
    return (
        Version.of_value("n", n, "major")
        + Version.of_value("b", values["b"], "minor")
        + Version.of_value("c", values["c"], "patch")
    )


class Mean(JsonStep):
    state = ("mean",)
    unit = VersionedField("mm", "major")

    def execute(self, values):
        self.mean = sum(values) / len(values)
        return self.mean


class Clip(Step):
    low = VersionedField(0, "minor")

    def execute(self, value):
        return max(value, self.low)


class TestNumbers:
    def test_numbers_are_counted_from_the_newest(self, ws):
        numbers = [
            ws.links.register("pca", version).number
            for version in (
                *(made(2), made(3), made(3, b=1), made(3, b=1, c=1), made(3, b=2), made(4)),
                *(made(4, b=7, c=9), made(4, b=7, c=8)),
            )
        ]
        assert numbers == ["1.0.0", "2.0.0", "2.1.0", "2.1.1", "2.2.0", "3.0.0", "3.1.0", "3.1.1"]
        assert [version.number for version in ws.links.versions("pca")] == numbers[::-1]

    def test_the_same_version_is_registered_once(self, ws):
        first = ws.links.register("pca", made(2))
        ws.links.register("pca", made(3))
        assert ws.links.register("pca", made(2)) == first
        assert ws.links.register("pca", str(made(2))) == first
        assert len(ws.links.versions("pca")) == 2

    def test_texts_of_digests_alone_are_counted_by_digest(self, ws):
        texts = [
            f"{a * 40}.{b * 40}.{c * 40}_{i}.5" for i, (a, b, c) in enumerate(["000", "100", "110", "111"])
        ]
        assert [ws.links.register("op", text).number for text in texts] == [
            "1.0.0",
            "2.0.0",
            "2.1.0",
            "2.1.1",
        ]
        assert [str(version.version) for version in ws.links.versions("op")] == texts[::-1]

    def test_a_renamed_field_is_a_patch_and_says_so(self, ws):
        ws.links.register("pca", Version.of_value("n", 2, "major"))
        ws.links.register("pca", Version.of_value("size", 2, "major"))
        rows = ws.links.versions("pca").rows()
        assert [(row["number"], row["changed"]) for row in rows] == [
            ("1.0.1", "patch: n is now called size"),
            ("1.0.0", "first version"),
        ]

    def test_the_table_says_what_changed(self, ws):
        ws.links.register("pca", made(2))
        ws.links.register("pca", made(3, c=1))
        page = ws.links.versions("pca")
        assert page.rows()[0]["changed"] == "major: n 2 -> 3; patch: c 0 -> 1"
        assert "2.0.0" in repr(page)
        assert "n 2 -&gt; 3" in page._repr_html_()

    def test_versions_are_named_in_many_ways(self, ws):
        one, two = (ws.links.register("pca", made(n)) for n in (2, 3))
        assert ws.links.get("pca") == two
        assert ws.links.get("pca", "latest") == two
        assert ws.links.get("pca", "1.0.0") == ws.links.get("pca", made(2)) == one
        assert ws.links.get("pca", str(made(2))) == ws.links.get("pca", one) == one

    @pytest.mark.parametrize("text", ["1", "1.2", "1.2.3.4", "v1.2.3", "01.0.0", "newest", "", 3, "1.0.0\n"])
    def test_what_is_no_version_is_refused(self, ws, text):
        ws.links.register("pca", made())
        with pytest.raises(InvalidInputError, match=r"no (number|version)"):
            ws.links.get("pca", text)

    def test_an_empty_workspace_knows_nothing_and_says_so(self, ws):
        assert list(ws.links.versions("pca")) == []
        assert "No versions. Save" in repr(ws.links.versions("pca"))
        assert ws.links.steps() == []
        with pytest.raises(NotFoundError, match="No version of a step 'pca'"):
            ws.links.get("pca")

    def test_near_names_are_told(self, ws):
        ws.links.register("pca", made())
        with pytest.raises(NotFoundError, match="Did you mean 'pca'"):
            ws.links.get("pcaa")
        with pytest.raises(NotFoundError, match=r"no registered version 1\.0\.7\. It has 1\.0\.0"):
            ws.links.get("pca", "1.0.7")


class TestLinks:
    def test_registering_a_link_registers_steps_and_version(self, ws):
        ws.links.register("pca", made(2), downstream="forest")
        ws.links.register("pca", made(2), downstream="forest")
        ws.links.register("pca", made(3), downstream="forest")
        assert [v.number for v in ws.links.validated("forest", "pca")] == ["2.0.0", "1.0.0"]
        assert len(ws.links.list()) == 2  # no duplicates
        assert ws.links.steps() == ["forest", "pca"]
        assert [row["upstream version"] for row in ws.links.list("forest", "pca").rows()] == [
            "1.0.0",
            "2.0.0",
        ]
        assert list(ws.links.validated("pca", "forest")) == []

    def test_what_is_not_known_is_told_with_near_names(self, ws):
        ws.links.register("pca", made(2), downstream="forest")
        assert "Did you mean 'pca'" in repr(ws.links.versions("pcaa"))
        assert "Did you mean 'pca'" in repr(ws.links.validated("forest", "pcaa"))
        assert "Did you mean 'forest'" in repr(ws.links.validated("forst", "pca"))
        assert "Nothing is registered" not in repr(ws.links.validated("pca", "forest"))
        assert list(ws.links.versions("pcaa")) == list(ws.links.validated("forst", "pca")) == []

    def test_a_link_to_a_version_that_is_not_registered_is_refused(self, ws):
        with pytest.raises(NotFoundError):
            ws.links.add("forest", "pca", "1.0.0")
        ws.links.register("pca", made())
        with pytest.raises(NotFoundError, match="no registered version"):
            ws.links.add("forest", "pca", "2.0.0")
        assert ws.links.steps() == ["pca"]
        ws.links.add("forest", "pca")
        ws.links.add("forest", "pca", "1.0.0")
        assert len(ws.links.list()) == 1

    def test_only_a_major_change_asks_for_training(self, ws):
        ws.links.register("pca", made(2), downstream="forest")
        ws.links.check("forest", "pca", made(2, b=5, c=9))
        with pytest.raises(
            VersionError, match=r"it worked with pca@1\.0\.0, and since then n 2 -> 3\. Retrain"
        ) as c:
            ws.links.check("forest", "pca", made(3), node="classify")
        assert (c.value.node, c.value.upstream) == ("classify", "pca")
        assert ws.links.is_valid("forest", "pca", made(2, b=5))
        assert not ws.links.is_valid("forest", "pca", made(3))
        ws.links.register("pca", made(3), downstream="forest")
        ws.links.check("forest", "pca", made(3))
        ws.links.check("forest", "pca", made(2))  # the older one is still valid

    def test_a_link_may_be_of_one_version_of_the_downstream_step(self, ws):
        one, two = (ws.links.register("forest", made(n)) for n in (7, 8))
        for n, version in ((2, one), (3, two)):
            for _ in range(2):
                ws.links.register("pca", made(n), downstream="forest", downstream_version=version)
        assert len(ws.links.list()) == 2
        assert [v.number for v in ws.links.validated("forest", "pca")] == ["2.0.0", "1.0.0"]
        assert [v.number for v in ws.links.validated("forest", "pca", one)] == ["1.0.0"]
        assert not ws.links.is_valid("forest", "pca", made(2), two)
        with pytest.raises(VersionError):
            ws.links.check("forest", "pca", made(2), "2.0.0")
        ws.links.add("forest", "pca", "1.0.0")  # any version of it
        assert ws.links.is_valid("forest", "pca", made(2), two)
        ws.links.delete("forest", "2.0.0")
        assert [(k.number, k.downstream_number) for k in ws.links.list()] == [
            ((1, 0, 0), None),
            ((1, 0, 0), (1, 0, 0)),
        ]
        before = repr(ws.links.list())
        for reindex in (ws.reindex, ws.links.reindex):
            reindex()
            assert repr(ws.links.list()) == before
        with pytest.raises(NotFoundError, match=r"no registered version 9\.0\.0"):
            ws.links.add("forest", "pca", "1.0.0", downstream_version="9.0.0")

    def test_links_are_removed_one_or_all(self, ws):
        for n in (2, 3):
            ws.links.register("pca", made(n), downstream="forest")
        assert ws.links.remove("forest", "pca", "1.0.0") == 1
        assert ws.links.remove("forest", "pca", "1.0.0") == 0
        assert [link.number for link in ws.links.list()] == [(2, 0, 0)]
        assert ws.links.remove("forest", "pca") == 1


class TestStates:
    def test_a_state_goes_and_comes_back(self, ws):
        step, other = Mean(), Mean()
        step([1, 2, 6])
        assert ws.links.save(step).number == "1.0.0"
        assert ws.links.load(other).has_bytes
        assert other.mean == 3.0

    def test_a_version_that_is_not_registered_takes_no_state(self, ws):
        with pytest.raises(NotFoundError):
            ws.links.save_bytes("mean", "1.0.0", b"x")
        ws.links.register("mean", made())
        with pytest.raises(NotFoundError, match="no registered version"):
            ws.links.save_bytes("mean", made(5), b"x")
        with pytest.raises(NotFoundError, match="has no state"):
            ws.links.load_bytes("mean")
        with pytest.raises(InvalidInputError, match="expected bytes"):
            ws.links.save_bytes("mean", "1.0.0", "text")
        assert list(ws.store.list("models")) == []

    def test_a_new_state_replaces_the_old_one_only_when_said(self, ws):
        ws.links.register("mean", made())
        for _ in range(2):
            ws.links.save_bytes("mean", "1.0.0", b"first")
        with pytest.raises(AlreadyExistsError, match=r"mean@1\.0\.0 has another state .*replace=True"):
            ws.links.save_bytes("mean", "1.0.0", b"evil")
        assert ws.links.load_bytes("mean") == b"first"
        assert len(list(ws.store.list("models"))) == 1
        ws.links.save_bytes("mean", "1.0.0", b"second", replace=True)
        assert ws.links.load_bytes("mean") == b"second"
        assert len(list(ws.store.list("models"))) == 1

    def test_the_newest_with_a_state_is_loaded(self, ws):
        step = Mean()
        step([4])
        ws.links.save(step)
        ws.links.register(step, step.version.trained(5.0))  # no state
        assert ws.links.load(Mean()).number == "1.0.0"

    @pytest.mark.parametrize(
        "change", [lambda data: data[:-1], lambda data: b"x" + data[1:], lambda data: b""]
    )
    def test_a_state_that_was_tampered_with_is_refused(self, ws, change):
        step, other = Mean(), Mean()
        step([1, 3])
        ws.links.save(step)
        (info,) = ws.store.list("models")
        file = ws.store.local_path("models", info.key)
        file.chmod(0o644)
        file.write_bytes(change(file.read_bytes()))
        with pytest.raises(DamagedError, match=r"The state of mean@1\.0\.0 is not what was saved"):
            ws.links.load(other)
        assert not hasattr(other, "mean")

    def test_a_state_that_is_gone_says_so(self, ws):
        step = Mean()
        step([1, 3])
        ws.links.save(step)
        ws.store.delete("models", [info.key for info in ws.store.list("models")])
        with pytest.raises(DamagedError, match="is gone"):
            ws.links.load_bytes("mean")


class TestNames:
    def test_two_classes_of_one_name_are_told_apart(self, ws):
        def other() -> type[Step]:
            class Clip(Step):
                def execute(self, value):
                    return value

            return Clip

        ws.links.register(Clip())
        with pytest.raises(
            AlreadyExistsError, match=r"another class, .*:Clip; this one is .*name = 'clip-2'"
        ):
            ws.links.register(other()())
        ws.links.register(other()("clip-2"))
        ws.links.register(other()("clip"))  # says itself that it goes on with that name
        assert ws.links.steps() == ["clip", "clip-2"]

    def test_a_class_may_go_from_the_notebook_into_a_module(self, ws):
        class Clip(Step):
            __qualname__ = "Clip"

            def execute(self, value):
                return value

        home = Clip.__module__
        Clip.__module__ = "__main__"
        ws.links.register(Clip())
        Clip.__module__ = home
        ws.links.register(Clip())
        Clip.__module__ = f"package.{home}"  # the same file, imported in another way
        ws.links.register(Clip())
        Clip.__module__ = "elsewhere"
        with pytest.raises(AlreadyExistsError):
            ws.links.register(Clip())

    def test_what_is_no_step_is_refused(self, ws):
        with pytest.raises(InvalidInputError, match=r"Clip is the class of a step. Pass a step: Clip\(\)"):
            ws.links.register(Clip)
        with pytest.raises(InvalidInputError, match="3 is no step"):
            ws.links.versions(3)
        with pytest.raises(InvalidInputError, match="has no state that could be saved"):
            ws.links.save(Clip())
        with pytest.raises(InvalidInputError, match="Which version of 'clip'"):
            ws.links.register("clip")
        with pytest.raises(InvalidInputError, match="Step name 'a/b'"):
            ws.links.register("a/b", made())


class TestDeleting:
    def test_a_version_that_is_needed_stays(self, ws):
        ws.links.register("pca", made(2), downstream="forest")
        ws.links.save_bytes("pca", "1.0.0", b"x")
        with pytest.raises(InUseError, match="needed by forest"):
            ws.links.delete("pca", "1.0.0")
        assert ws.links.load_bytes("pca") == b"x"
        ws.links.delete("pca", "1.0.0", force=True)
        assert list(ws.links.list()) == []
        assert list(ws.store.list("models")) == []
        with pytest.raises(NotFoundError):
            ws.links.get("pca")

    def test_the_number_of_a_deleted_version_is_not_given_again(self, ws):
        ws.links.register("pca", made(2))
        ws.links.register("pca", made(3))
        ws.links.delete("pca", "2.0.0")
        assert ws.links.register("pca", made(3)).number == "2.0.1"
        assert [v.number for v in ws.links.versions("pca")] == ["2.0.1", "1.0.0"]

    def test_versions_with_one_state_share_it(self, ws):
        for n in (2, 3):
            version = ws.links.register("pca", made(n))
            ws.links.save_bytes("pca", version, b"same")
        ws.links.delete("pca", "1.0.0")
        assert ws.links.load_bytes("pca", "2.0.0") == b"same"

    def test_a_step_goes_with_all_it_has(self, ws):
        ws.links.register("pca", made(2), downstream="forest")
        ws.links.register("forest", made(1), downstream="vote")
        with pytest.raises(InUseError):
            ws.links.delete("pca")
        ws.links.delete("pca", force=True)
        assert ws.links.steps() == ["forest", "vote"]
        assert [info.key for info in ws.store.list("steps")] == [
            *("step/forest.json", "step/forest/1.0.0.json", "step/vote.json")
        ]
        with pytest.raises(NotFoundError):
            ws.links.delete("pca")


class TestFiles:
    def test_reindex_finds_everything_again(self, ws):
        step = Mean()
        step([1, 3])
        ws.links.save(step)
        ws.links.register("pca", made(2), downstream="forest")
        ws.links.register("pca", made(3), downstream=Mean())
        ws.links.delete("pca", "1.0.0", force=True)
        before = (
            repr(ws.links.versions("pca")),
            repr(ws.links.versions("mean")),
            repr(ws.links.list()),
            ws.links.steps(),
        )
        assert ws.reindex()["versions of steps"] == 2
        after = (
            repr(ws.links.versions("pca")),
            repr(ws.links.versions("mean")),
            repr(ws.links.list()),
            ws.links.steps(),
        )
        assert after == before
        assert ws.links.load_bytes("mean") == step.serialize()
        assert ws.links.register("pca", made(9)).number == "3.0.0"

    def test_damaged_files_are_passed_over_with_a_warning(self, ws):
        for n in (2, 3):
            ws.links.register("pca", made(n), downstream="forest")
        ws.store.put("steps", "step/pca/1.0.0.json", b"{")
        with pytest.warns(UserWarning, match=r"steps/step/pca/1\.0\.0\.json is damaged"):
            ws.reindex()
        assert [v.number for v in ws.links.versions("pca")] == ["2.0.0"]
        assert [link.number for link in ws.links.list()] == [(2, 0, 0)]

    def test_a_link_that_a_killed_process_left_is_none_of_the_next_version(self, ws):
        ws.links.register("pca", made(2), downstream="forest")
        ws.links.register("pca", made(3), downstream="forest")
        (_, file) = [info.key for info in ws.store.list("links")]
        left = ws.store.get("links", file)
        ws.links.delete("pca", force=True)
        ws.links.register("pca", made(2))
        ws.links.register("pca", made(4))  # gets the number that the killed one would have had
        ws.store.put("links", file, left)
        ws.reindex()
        assert [v.number for v in ws.links.versions("pca")] == ["2.0.0", "1.0.0"]
        assert list(ws.links.list()) == []

    def test_an_error_leaves_files_and_catalog_as_they_were(self, ws, monkeypatch):
        ws.links.register("pca", made(2), downstream="forest")
        names = [info.key for c in ("steps", "links") for info in ws.store.list(c)]

        def fail(*args):
            raise OSError("no space")

        monkeypatch.setattr("workbench.catalog.steps.StepChange.put_link", fail)
        with pytest.raises(OSError, match="no space"):
            ws.links.register("pca", made(3), downstream="vote")
        monkeypatch.undo()
        assert [info.key for c in ("steps", "links") for info in ws.store.list(c)] == names
        assert len(ws.links.versions("pca")) == 1


@pytest.mark.parametrize("kind", ["memory", pytest.param("s3", marks=pytest.mark.s3)])
def test_other_stores_keep_all_of_it(kind, request, memory_url):
    s3 = request.getfixturevalue("s3") if kind == "s3" else None
    url, options = (s3.new_url(), s3.storage_options) if s3 else (memory_url, None)
    with workbench.open(url, storage_options=options) as ws:
        step, other = Mean(), Mean()
        step([1, 3])
        ws.links.save(step)
        ws.links.register("pca", made(2), downstream="mean", downstream_version="1.0.0")
        ws.links.register("pca", made(3), downstream="mean")
        ws.links.delete("pca", "2.0.0", force=True)
        before = repr(ws.links.list())
        ws.reindex()
        assert repr(ws.links.list()) == before
        ws.links.load(other)
        assert other.mean == 2.0
        ws.links.delete("mean", force=True)
        assert [info.key for c in ("models", "links") for info in ws.store.list(c)] == []


class TestProcesses:
    CODE = """
import sys, workbench
from workbench.versions import Version
url, catalog, me, count = sys.argv[1:]
ws = workbench.open(url, catalog=catalog or None)
print("ready", flush=True)
sys.stdin.readline()
for i in range(int(count)):
    version = ws.links.register("pca", Version.of_value("n", me + str(i), "major"), downstream="forest")
    ws.links.save_bytes("pca", version, (me + str(i)).encode())
    print(version.number, me + str(i), flush=True)
"""

    def start(self, ws: workbench.Workspace, me: str, count: int) -> subprocess.Popen[str]:
        catalog = "" if ws.catalog.url.startswith("sqlite") else ws.catalog.url
        command = [sys.executable, "-c", self.CODE, ws.url, catalog, me, str(count)]
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        return child

    def test_many_writers_get_different_numbers(self, ws):
        children = [self.start(ws, me, 20) for me in "abcd"]
        for child in children:
            child.stdin.write("\n")
            child.stdin.flush()
        told = [line.split() for child in children for line in child.communicate()[0].splitlines()]
        assert len(told) == 80
        assert sorted(int(number.split(".")[0]) for number, _ in told) == list(range(1, 81))
        assert {number: ws.links.load_bytes("pca", number).decode() for number, _ in told} == dict(told)
        assert len(ws.links.validated("forest", "pca")) == 80

    def test_what_a_killed_process_has_told_is_there(self, ws):
        for _ in range(3):
            child = self.start(ws, f"k{os.urandom(4).hex()}-", 1000)
            child.stdin.write("\n")
            child.stdin.flush()
            told = [child.stdout.readline().split() for _ in range(5)]
            time.sleep(int.from_bytes(os.urandom(1), "big") / 4000)
            child.send_signal(signal.SIGKILL)
            told += [
                line.split()
                for line in child.communicate()[0].splitlines()
                if line.count(" ") == 1 and line[-1]
            ]
            for number, name in told[:-1]:
                assert ws.links.load_bytes("pca", number) == name.encode()
            versions = [v.number for v in ws.links.versions("pca")]
            ws.reindex()
            found = [v.number for v in ws.links.versions("pca")]
            assert set(found) >= set(versions)
            assert len(found) - len(versions) <= 1  # a file whose row was not written yet
            following = ws.links.register("pca", Version.of_value("n", os.urandom(4).hex(), "major"))
            assert int(following.number.split(".")[0]) == int(found[0].split(".")[0]) + 1
