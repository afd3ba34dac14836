"""What the catalog answers: every method, on every database."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workbench.catalog import Catalog
from workbench.errors import InvalidInputError
from workbench.models import (
    AlgorithmType,
    DatasetRecord,
    KeyInfo,
    OutputRef,
    Progress,
    Revision,
    RunRecord,
    RunStatus,
)
from workbench.names import new_id

START = datetime(2026, 3, 1, 12, tzinfo=UTC)


def dataset(second: float = 0, **fields: Any) -> DatasetRecord:
    created = START + timedelta(seconds=second)
    base = {
        "id": new_id(),
        "digest": "d",
        "schema_name": "ImageSchema",
        "keys": {},
        "nbytes": 1,
        "created": created,
    }
    return DatasetRecord(**{**base, **fields})


def revision(version: str = "1.0", second: float = 0, **fields: Any) -> Revision:
    major, minor = map(int, version.split("."))
    base = {"id": new_id(), "name": "denoise", "package": "p", "created": START + timedelta(seconds=second)}
    return Revision(**{**base, "major": major, "minor": minor, **fields})


def run(second: float = 0, algorithm: str = "denoise@1.0", **fields: Any) -> RunRecord:
    base = {"id": new_id(), "algorithm": algorithm, "algorithm_name": algorithm.partition("@")[0]}
    return RunRecord(**{**base, "created": START + timedelta(seconds=second), **fields})


def ids(page: tuple[list[Any], str | None]) -> list[str]:
    assert page[1] is None
    return [record.id for record in page[0]]


def all_pages(
    list_page: Callable[..., tuple[list[Any], str | None]], limit: int, **filters: Any
) -> list[Any]:
    found, cursor = [], None
    while True:
        records, cursor = list_page(limit=limit, after=cursor, **filters)
        found += records
        assert len(records) == limit or cursor is None
        if cursor is None:
            return found


# -- datasets


def test_dataset_comes_back_whole(catalog: Catalog) -> None:
    inner = KeyInfo(kind="array", shape=(2, 3), dtype="float32", nbytes=24)
    record = dataset(
        0.123456,
        keys={"image": inner, "parts": KeyInfo(kind="group", items={"a": inner})},
        name="stack",
        tags=("b", "a"),
        attributes={"pixel_um": 0.1, "text": "ü ' % \0 \n", "none": None, "deep": [{"x": [1, 2.5, True]}]},
        run_id="r",
        parents=("p1", "p2"),
        source="/data/a.tif",
    )
    catalog.put_datasets([record])
    assert catalog.get_datasets([record.id]) == {record.id: record}
    assert catalog.list_datasets() == ([record], None)


def test_get_datasets_leaves_out_the_absent_and_keeps_the_order(catalog: Catalog) -> None:
    records = [dataset(i) for i in range(1200)]
    catalog.put_datasets(records)
    wanted = [r.id for r in reversed(records)]
    assert list(catalog.get_datasets([*wanted, "absent", wanted[0]])) == wanted
    assert catalog.get_datasets([]) == {}


def test_put_replaces_a_dataset_with_its_tags(catalog: Catalog) -> None:
    old = dataset(name="a", tags=("x", "y"))
    catalog.put_datasets([old, dataset(1, tags=("x",))])
    new = old.model_copy(update={"name": "b", "tags": ("y", "z")})
    catalog.put_datasets([new])
    catalog.put_datasets([new])
    assert catalog.list_datasets(name="a") == ([], None)
    assert [ids(catalog.list_datasets(tags=[t])) for t in "yz"] == [[old.id], [old.id]]
    assert old.id not in ids(catalog.list_datasets(tags=["x"]))


def test_last_of_two_records_with_one_id_counts(catalog: Catalog) -> None:
    first = dataset(tags=("x",))
    catalog.put_datasets([first, first.model_copy(update={"tags": ("y",)})])
    assert ids(catalog.list_datasets(tags=["y"])) == [first.id]
    assert catalog.list_datasets(tags=["x"]) == ([], None)


def test_datasets_are_filtered(catalog: Catalog) -> None:
    a = dataset(1, name="a", tags=("raw", "day1"), digest="d1", run_id="r1")
    b = dataset(2, name="b", tags=("raw",), schema_name="MeshSchema", digest="d1")
    c = dataset(3, name="a", digest="d2", run_id="r1")
    catalog.put_datasets([a, b, c])
    at = [None, *(START + timedelta(seconds=s) for s in (1, 2, 3))]
    found = {
        "name": ({"name": "a"}, [c, a]),
        "tag": ({"tags": ["raw"]}, [b, a]),
        "one text is one tag": ({"tags": "raw"}, [b, a]),
        "all tags": ({"tags": ["raw", "day1"]}, [a]),
        "no such tag": ({"tags": ["raw", "night"]}, []),
        "schema": ({"schema": "MeshSchema"}, [b]),
        "run": ({"run_id": "r1"}, [c, a]),
        "digest": ({"digest": "d1"}, [b, a]),
        "digest and name": ({"digest": "d1", "name": "a"}, [a]),
        "everything": (
            {"digest": "d1", "name": "a", "tags": ["raw"], "run_id": "r1", "schema": "ImageSchema"},
            [a],
        ),
        "since is included": ({"since": at[2]}, [c, b]),
        "until is not": ({"until": at[2]}, [a]),
        "between": ({"since": at[1], "until": at[3], "tags": ["raw"]}, [b, a]),
        "zone": ({"since": at[2].astimezone(timezone(timedelta(hours=5)))}, [c, b]),
        "local": ({"since": at[2].astimezone().replace(tzinfo=None)}, [c, b]),
        "oldest first": ({"order": "created"}, [a, b, c]),
        "by name": ({"order": "name"}, [a, c, b]),
        "by name, back": ({"order": "-name"}, [b, c, a]),
        "by name, tag": ({"order": "name", "tags": ["raw"]}, [a, b]),
        "by name, schema, time": ({"order": "name", "schema": "ImageSchema", "since": at[2]}, [c]),
        "by name, name": ({"order": "-name", "name": "a"}, [c, a]),
    }
    for case, (filters, expected) in found.items():
        assert ids(catalog.list_datasets(**filters)) == [r.id for r in expected], case


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("img*", ["img-1", "img-10", "img_1"]),
        ("img-?", ["img-1"]),
        ("img_*", ["img_1"]),
        ("*1", ["IMG-1", "img-1", "img_1", "x%1"]),
        ("?mg-1", ["img-1"]),
        ("x%*", ["x%1"]),
        ("I*", ["IMG-1"]),
        ("*", ["IMG-1", "img-1", "img-10", "img_1", "x%1"]),
        ("img[-]1*", []),
        ("nothing*", []),
    ],
)
def test_names_are_found_by_pattern(catalog: Catalog, pattern: str, expected: list[str]) -> None:
    names = ["img-10", "IMG-1", "img-1", "x%1", "img_1"]
    catalog.put_datasets([dataset(i, name=name) for i, name in enumerate(names)])
    catalog.put_datasets([dataset(9, name=None, tags=("t",))] if pattern != "*" else [])
    assert [r.name for r in catalog.list_datasets(name=pattern, order="name")[0]] == expected
    newest = [r.name for r in catalog.list_datasets(name=pattern)[0]]
    assert newest == [name for name in reversed(names) if name in expected]


def test_a_pattern_finds_the_same_among_few_names_and_among_many(catalog: Catalog) -> None:
    catalog.put_datasets([dataset(i, name=f"img-{i:04d}") for i in range(1500)])
    few = all_pages(catalog.list_datasets, 400, name="img-00*")
    many = all_pages(catalog.list_datasets, 400, name="img-*")
    assert [r.name for r in few] == [f"img-{i:04d}" for i in reversed(range(100))]
    assert [r.name for r in many] == [f"img-{i:04d}" for i in reversed(range(1500))]


def test_newest_dataset_of_a_name(catalog: Catalog) -> None:
    records = [dataset(i, name="a" if i % 2 else "*") for i in range(4)]
    catalog.put_datasets(records)
    assert catalog.newest_dataset("a") == records[3]
    assert catalog.newest_dataset("*") == records[2]
    assert catalog.newest_dataset("b") is None
    assert catalog.newest_dataset("") is None


def test_dataset_names_are_different_and_in_order(catalog: Catalog) -> None:
    catalog.put_datasets([dataset(name=name) for name in ["b", "a", "b", "ab", None, "B", "b", "aa"]])
    assert catalog.dataset_names() == ["B", "a", "aa", "ab", "b"]
    assert catalog.dataset_names("a") == ["a", "aa", "ab"]
    assert catalog.dataset_names("a", limit=2) == ["a", "aa"]
    assert catalog.dataset_names("c") == []


def test_delete_datasets_tells_which_were_there(catalog: Catalog) -> None:
    a, b = dataset(tags=("t",)), dataset(1, tags=("t",))
    catalog.put_datasets([a, b])
    assert catalog.delete_datasets([a.id, "absent"]) == [True, False]
    assert ids(catalog.list_datasets(tags=["t"])) == [b.id]
    assert catalog.delete_datasets([]) == []


def test_objects_in_use_counts_datasets(catalog: Catalog) -> None:
    catalog.put_datasets([dataset(digest="d1"), dataset(digest="d1"), dataset(digest="d2")])
    assert catalog.objects_in_use(["d2", "d1", "d3"]) == {"d2": 1, "d1": 2, "d3": 0}


# -- algorithms


def test_revision_comes_back_whole(catalog: Catalog) -> None:
    record = revision("2.11", 0.5, tags=("a",), assets={"w.pt": "x"}, supported_devices=("cpu", "cuda"))
    catalog.put_revision(record)
    assert catalog.get_revision(record.id) == record
    assert catalog.get_revision("absent") is None


def test_newest_revision_is_the_highest_version_as_numbers(catalog: Catalog) -> None:
    made = {v: revision(v, i) for i, v in enumerate(["1.10", "1.9", "2.0", "10.1", "9.99", "1.2"])}
    for record in made.values():
        catalog.put_revision(record)
    again = revision("1.10", 99)
    catalog.put_revision(again)
    assert catalog.find_revision("denoise") == made["10.1"]
    assert catalog.find_revision("denoise", 1) == again
    assert catalog.find_revision("denoise", 1, 9) == made["1.9"]
    assert catalog.find_revision("denoise", 3) is None
    assert catalog.find_revision("other") is None
    assert catalog.algorithm_versions("denoise") == [(1, 2), (1, 9), (1, 10), (2, 0), (9, 99), (10, 1)]


def test_list_shows_the_newest_revision_of_each_version(catalog: Catalog) -> None:
    old, new, other = revision("1.0", 1), revision("1.0", 3), revision("1.1", 2)
    for record in (new, old, other):  # also when an older one comes later, as in a reindex
        catalog.put_revision(record)
    assert ids(catalog.list_revisions()) == [new.id, other.id]
    assert ids(catalog.list_revisions(newest_only=False)) == [new.id, other.id, old.id]
    catalog.put_revision(new)
    assert ids(catalog.list_revisions()) == [new.id, other.id]
    assert catalog.delete_revision(new.id)
    assert ids(catalog.list_revisions()) == [other.id, old.id]
    assert not catalog.delete_revision(new.id)
    assert catalog.delete_revision(old.id)
    assert ids(catalog.list_revisions()) == [other.id]


def test_revisions_are_filtered(catalog: Catalog) -> None:
    a = revision("1.0", 1, tags=("fast", "old"), type=AlgorithmType.IMAGE2IMAGE)
    b = revision("1.1", 2, tags=("fast",), supported_devices=("cuda", "cpu"))
    c = revision("2.0", 3, name="segment", tags=("slow",), supported_devices=("cuda:0",))
    d = revision("2.0", 4, name="segment", tags=("fast", "slow"))
    for record in (a, b, c, d):
        catalog.put_revision(record)
    every = {"newest_only": False}
    found = {
        "newest": ({}, [d, b, a]),
        "name": ({"name": "denoise"}, [b, a]),
        "pattern": ({"name": "*no?se"}, [b, a]),
        "prefix": (dict(name="seg*", **every), [d, c]),
        "major": ({"major": 1}, [b, a]),
        "minor": ({"minor": 0}, [d, a]),
        "version": ({"name": "segment", "major": 2, "minor": 0}, [d]),
        "type": ({"type": "Image2Image"}, [a]),
        "type as enum": ({"type": AlgorithmType.IMAGE2IMAGE}, [a]),
        "all tags": ({"tags": ["fast", "old"]}, [a]),
        "tag and name": (dict(tags=["fast"], name="denoise", **every), [b, a]),
        "any tags": ({"any_tags": ["old", "slow"]}, [d, a]),
        "any tags, all revisions": (dict(any_tags=["fast", "slow"], **every), [d, c, b, a]),
        "all and any": ({"tags": ["fast"], "any_tags": ["old", "slow"]}, [d, a]),
        "without": ({"without_tags": ["slow", "old"]}, [b]),
        "all, any, none": (
            dict(tags=["fast"], any_tags=["fast", "x"], without_tags=["old"], **every),
            [d, b],
        ),
        "device": ({"device": "cuda"}, [b]),
        "device with a number": (dict(device="cuda:0", **every), [c]),
        "part of a device": ({"device": "cud"}, []),
        "wildcard is no device": ({"device": "%"}, []),
        "by name": (dict(order="name", **every), [a, b, c, d]),
        "by name, back": ({"order": "-name"}, [d, b, a]),
        "by name, any tags": ({"order": "name", "any_tags": ["old", "slow"]}, [a, d]),
    }
    for case, (filters, expected) in found.items():
        assert ids(catalog.list_revisions(**filters)) == [r.id for r in expected], case


def test_algorithm_names_are_different_and_in_order(catalog: Catalog) -> None:
    for i, name in enumerate(["segment", "denoise", "segment", "dilate"]):
        catalog.put_revision(revision(f"1.{i}", name=name))
    assert catalog.algorithm_names() == ["denoise", "dilate", "segment"]
    assert catalog.algorithm_names("d") == ["denoise", "dilate"]
    assert catalog.algorithm_versions("absent") == []


def test_files_in_use_counts_revisions(catalog: Catalog) -> None:
    a = revision("1.0", package="p1", assets={"w": "x", "copy of w": "x"})
    catalog.put_revision(a)
    catalog.put_revision(revision("1.1", package="p2", assets={"w": "x"}))
    assert catalog.files_in_use(["p1", "x", "none"]) == {"p1": 1, "x": 2, "none": 0}
    catalog.delete_revision(a.id)
    assert catalog.files_in_use(["p1", "x"]) == {"p1": 0, "x": 1}


def test_aliases_are_replaced_as_a_whole(catalog: Catalog) -> None:
    catalog.set_aliases("denoise", {"stable": "1.2", "best": "some-id"})
    catalog.set_aliases("segment", {"stable": "2.0"})
    assert catalog.get_aliases("denoise") == {"best": "some-id", "stable": "1.2"}
    catalog.set_aliases("denoise", {"stable": "1.3"})
    assert catalog.get_aliases("denoise") == {"stable": "1.3"}
    catalog.set_aliases("denoise", {})
    assert catalog.get_aliases("denoise") == {}
    assert catalog.get_aliases("segment") == {"stable": "2.0"}


# -- runs


def test_run_comes_back_whole(catalog: Catalog) -> None:
    record = run(
        0.000001,
        status=RunStatus.FAILED,
        inputs=("a", "b", "a"),
        outputs=(OutputRef(text="said"), OutputRef(dataset="o")),
        parameters={"sigma": 1.5, "mode": None},
        progress=Progress(fraction=0.25, message="ü"),
        tags=("t",),
        started=START,
    )
    catalog.put_run(record)
    assert catalog.get_run(record.id) == record
    assert catalog.get_run("absent") is None


def test_progress_is_kept_and_never_goes_back(catalog: Catalog) -> None:
    record = run(status=RunStatus.RUNNING)
    catalog.put_run(record)
    catalog.update_progress(record.id, 0.5, "half\0\ud800")
    catalog.update_progress(record.id, 0.25, "late news")
    catalog.update_progress("absent", 0.5, "nobody")
    found = catalog.get_run(record.id)
    assert found is not None
    assert (found.progress.fraction, found.progress.message) == (0.5, "half\ufffd?")
    assert catalog.list_runs()[0] == [found]
    done = record.model_copy(update={"status": RunStatus.COMPLETED, "progress": Progress(fraction=1.0)})
    catalog.put_run(done)
    catalog.update_progress(record.id, 0.75, "too late")
    assert catalog.get_run(record.id) == done


def test_runs_are_filtered(catalog: Catalog) -> None:
    a = run(
        1,
        status=RunStatus.COMPLETED,
        inputs=("i",),
        outputs=(OutputRef(dataset="o"),),
        revision="r1",
        tags=("x",),
    )
    b = run(
        2,
        "denoise@1.1",
        status=RunStatus.FAILED,
        inputs=("o", "i"),
        outputs=(OutputRef(dataset="i"),),
        tags=("x", "y"),
    )
    c = run(3, "segment@1.0", status=RunStatus.RUNNING, revision="r1")
    d = run(4, "work/den@oise", status=RunStatus.COMPLETED, debug=True)
    catalog.put_runs([a, b, c, d])
    two = START + timedelta(seconds=2)
    found = {
        "all": ({}, [d, c, b, a]),
        "oldest first": ({"order": "created"}, [a, b, c, d]),
        "status": ({"status": "COMPLETED"}, [d, a]),
        "statuses": ({"status": [RunStatus.FAILED, "RUNNING", "LOST", "FAILED"]}, [c, b]),
        "no status": ({"status": []}, []),
        "name": ({"algorithm": "denoise"}, [b, a]),
        "version": ({"algorithm": "denoise@1.1"}, [b]),
        "folder": ({"algorithm": "work/den@oise"}, [d]),
        "name and status": ({"algorithm": "denoise", "status": "FAILED"}, [b]),
        "version and statuses": ({"algorithm": "denoise@1.0", "status": ["FAILED", "COMPLETED"]}, [a]),
        "revision": ({"revision": "r1"}, [c, a]),
        "revision, status": ({"revision": "r1", "status": "RUNNING"}, [c]),
        "revision, algorithm": ({"revision": "r1", "algorithm": "denoise@1.0"}, [a]),
        "input or output": ({"dataset": "o"}, [b, a]),
        "input and output is listed once": ({"dataset": "i"}, [b, a]),
        "dataset, status, algorithm": (
            {"dataset": "i", "status": ["COMPLETED"], "algorithm": "denoise"},
            [a],
        ),
        "dataset, revision": ({"dataset": "i", "revision": "r1"}, [a]),
        "dataset, tag": ({"dataset": "i", "tags": ["y"]}, [b]),
        "tags": ({"tags": ["x", "y"]}, [b]),
        "tag, status": ({"tags": ["x"], "status": ["FAILED", "COMPLETED"]}, [b, a]),
        "tag, version": ({"tags": ["x"], "algorithm": "denoise@1.0"}, [a]),
        "tag, revision": ({"tags": ["x"], "revision": "r1"}, [a]),
        "since": ({"since": two, "algorithm": "denoise"}, [b]),
        "until": ({"until": two, "status": "COMPLETED"}, [a]),
        "since, dataset": ({"since": two, "dataset": "o"}, [b]),
    }
    for case, (filters, expected) in found.items():
        assert ids(catalog.list_runs(**filters)) == [r.id for r in expected], case


def test_lineage_follows_what_a_run_has_put_out(catalog: Catalog) -> None:
    record = run(1, inputs=("in",))
    catalog.put_run(record)
    assert catalog.producer("out") is None
    catalog.put_run(record.model_copy(update={"outputs": (OutputRef(dataset="out"), OutputRef(text="x"))}))
    later = run(2, inputs=("out", "in"), outputs=(OutputRef(dataset="out"),))
    catalog.put_run(later)
    assert catalog.producer("out") == record.id
    assert catalog.consumers("in") == [later.id, record.id]
    assert catalog.consumers("in", limit=1) == [later.id]
    assert catalog.consumers("out") == [later.id]
    catalog.put_run(later.model_copy(update={"inputs": ()}))
    assert catalog.consumers("out") == []
    assert catalog.delete_runs([record.id, "absent"]) == [True, False]
    assert catalog.producer("out") == later.id
    assert catalog.consumers("in") == []


def test_completed_runs_that_computed_are_found_by_their_key(catalog: Catalog) -> None:
    done = {"status": RunStatus.COMPLETED, "reuse_key": "k"}
    first, second = run(1, **done), run(2, "blur@1.0", **done)
    others = [run(3, reuse_key="k", status=status) for status in RunStatus if status != "COMPLETED"]
    reused, other_key = run(4, reused_from=first.id, **done), run(5, **{**done, "reuse_key": "other"})
    catalog.put_runs([first, second, *others, reused, other_key, run(6, status=RunStatus.COMPLETED)])
    assert catalog.runs_with_key("k") == [second, first]
    assert catalog.runs_with_key("k", limit=1) == [second]
    assert catalog.runs_with_key("") == []
    catalog.put_run(second.model_copy(update={"status": RunStatus.FAILED}))
    assert catalog.runs_with_key("k") == [first]


def test_runs_of_a_revision_are_counted(catalog: Catalog) -> None:
    catalog.put_runs([run(revision="r1"), run(revision="r1"), run(revision="r2"), run()])
    assert (catalog.runs_of_revision("r1"), catalog.runs_of_revision("absent")) == (2, 0)


# -- pages


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seconds=st.lists(st.sampled_from([0, 0, 1, 1.000001, 2]), max_size=30),
    limit=st.integers(1, 8),
    filters=st.sampled_from(
        [
            {},
            {"tags": ["t"]},
            {"schema": "ImageSchema"},
            {"name": "n*"},
            {"name": "*1"},
            {"name": "n0", "tags": ["t"]},
        ]
    ),
)
def test_pages_hold_every_dataset_once_and_in_order(
    catalog: Catalog, seconds: list[float], limit: int, filters: dict[str, Any]
) -> None:
    catalog.clear()
    records = [
        dataset(s, name=f"n{i % 3}" if i % 4 else None, tags=("t",) if i % 2 else ())
        for i, s in enumerate(seconds)
    ]
    catalog.put_datasets(records)
    for order in ("created", "-created", "name", "-name"):
        pages = all_pages(catalog.list_datasets, limit, order=order, **filters)
        whole = ids(catalog.list_datasets(order=order, limit=1000, **filters))
        assert [r.id for r in pages] == whole
        by_time = lambda r: (r.created, r.id)  # noqa: E731
        by_name = lambda r: (r.name or "", r.created, r.id)  # noqa: E731
        key = by_time if order.endswith("created") else by_name
        assert pages == sorted(pages, key=key, reverse=order.startswith("-"))
        assert len(set(whole)) == len(whole)
    if not filters:
        assert set(whole) == {r.id for r in records}


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seconds=st.lists(st.sampled_from([0, 0, 1]), max_size=25), limit=st.integers(1, 7))
def test_pages_hold_every_run_once_and_in_order(catalog: Catalog, seconds: list[float], limit: int) -> None:
    catalog.clear()
    statuses = list(RunStatus)
    records = [
        run(s, status=statuses[i % 7], inputs=("i",), outputs=(OutputRef(dataset="i"),))
        for i, s in enumerate(seconds)
    ]
    catalog.put_runs(records)
    ordered = [r.id for r in sorted(records, key=lambda r: (r.created, r.id))]
    for filters in (
        {},
        {"status": statuses},
        {"algorithm": "denoise", "status": statuses},
        {"dataset": "i"},
    ):
        assert [r.id for r in all_pages(catalog.list_runs, limit, order="created", **filters)] == ordered, (
            filters
        )
        assert [r.id for r in all_pages(catalog.list_runs, limit, **filters)] == ordered[::-1], filters


def test_pages_hold_every_revision_once(catalog: Catalog) -> None:
    records = [revision(f"1.{i % 5}", i // 3, tags=("a", "b") if i % 2 else ("b",)) for i in range(20)]
    for record in records:
        catalog.put_revision(record)
    for filters in (
        {},
        {"any_tags": ["a", "b"]},
        {"name": "denoise"},
        {"order": "name"},
        {"order": "-name"},
    ):
        pages = all_pages(catalog.list_revisions, 3, newest_only=False, **filters)
        assert sorted(r.id for r in pages) == sorted(r.id for r in records), filters
    assert len(all_pages(catalog.list_revisions, 2)) == 5


def test_page_after_a_cursor_does_not_shift_when_records_come_and_go(catalog: Catalog) -> None:
    records = [dataset(i) for i in range(10)]
    catalog.put_datasets(records)
    first, cursor = catalog.list_datasets(limit=4)
    catalog.put_datasets([dataset(20)])
    catalog.delete_datasets([first[-1].id])
    second, _ = catalog.list_datasets(limit=4, after=cursor)
    assert second == records[5:1:-1]


def test_clearing_and_putting_back_gives_the_same_lists(catalog: Catalog) -> None:
    datasets = [dataset(i // 2, name=f"n{i % 3}", tags=(f"t{i % 2}",)) for i in range(20)]
    revisions = [revision(f"1.{i % 3}", i // 2, tags=("t",)) for i in range(9)]
    runs = [run(i // 2, inputs=("a",), outputs=(OutputRef(dataset=f"o{i}"),), tags=("t",)) for i in range(20)]

    def fill(step: int) -> list[Any]:
        catalog.put_datasets(datasets[::step])
        for record in revisions[::step]:
            catalog.put_revision(record)
        catalog.put_runs(runs[::step])
        catalog.set_aliases("denoise", {"stable": "1.2"})
        return [
            *(catalog.list_datasets(order=order, tags=["t1"]) for order in ("created", "-name")),
            *(catalog.list_revisions(newest_only=newest, tags=["t"]) for newest in (True, False)),
            catalog.list_runs(tags=["t"]),
            catalog.list_runs(dataset="a"),
            catalog.producer("o7"),
            catalog.find_revision("denoise"),
            catalog.get_aliases("denoise"),
        ]

    before = fill(1)
    catalog.clear()
    assert catalog.list_datasets() == catalog.list_runs() == catalog.list_revisions() == ([], None)
    assert (catalog.get_aliases("denoise"), catalog.files_in_use(["p"])) == ({}, {"p": 0})
    assert fill(-1) == before


# -- wrong input


@pytest.mark.parametrize(
    ("method", "filters", "message"),
    [
        ("list_runs", {"status": "DONE"}, "status is 'DONE', expected one of PENDING, STARTED, RUNNING"),
        ("list_runs", {"status": ["FAILED", "completed"]}, "Did you mean 'COMPLETED'"),
        ("list_runs", {"order": "name"}, "order is 'name', expected one of '-created', 'created'"),
        ("list_datasets", {"order": "-craeted"}, "Did you mean '-created'"),
        ("list_datasets", {"order": None}, "order is None"),
        ("list_revisions", {"order": "version"}, "'-created', 'created', '-name', 'name'"),
        ("list_revisions", {"type": "Image"}, "type is 'Image', expected one of Image2Image"),
        ("list_datasets", {"limit": -1}, "limit is -1, expected a whole number of 1 or more"),
        ("list_datasets", {"limit": 0}, "limit is 0"),
        ("list_runs", {"limit": "5"}, "limit is '5'"),
        ("list_runs", {"limit": True}, "limit is True"),
        ("list_runs", {"after": "nonsense"}, "after is 'nonsense'"),
        ("list_runs", {"after": "ü"}, "after is 'ü'"),
        ("list_runs", {"after": "e30"}, "after is 'e30'"),
        ("list_datasets", {"after": 5}, "after is 5"),
        ("list_runs", {"since": "yesterday"}, "since is 'yesterday', expected a datetime"),
    ],
)
def test_wrong_filter_is_refused_with_what_is_allowed(
    catalog: Catalog, method: str, filters: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidInputError, match=message):
        getattr(catalog, method)(**filters)


def test_cursor_of_another_order_is_refused(catalog: Catalog) -> None:
    catalog.put_datasets([dataset(i) for i in range(3)])
    _, cursor = catalog.list_datasets(limit=1)
    with pytest.raises(InvalidInputError, match="after belongs to a list with order='-created'"):
        catalog.list_datasets(limit=1, order="created", after=cursor)


# -- sweeps


def test_runs_of_a_sweep_are_listed_with_any_other_filter(catalog: Catalog) -> None:
    mine = [run(n, sweep="s1", point=n, revision=f"r{n % 2}", tags=["t"] * (n % 2)) for n in range(4)]
    mine[3] = mine[3].model_copy(update={"status": RunStatus.FAILED})
    catalog.put_runs([*mine, run(9, sweep="s2"), run(10)])
    newest_first = [r.id for r in reversed(mine)]
    assert ids(catalog.list_runs(sweep="s1")) == newest_first
    assert ids(catalog.list_runs(sweep="s1", algorithm="denoise")) == newest_first
    assert ids(catalog.list_runs(sweep="s1", status="FAILED")) == newest_first[:1]
    assert ids(catalog.list_runs(sweep="s1", revision="r0", algorithm="denoise@1.0")) == newest_first[1::2]
    assert ids(catalog.list_runs(sweep="s1", tags=["t"])) == newest_first[::2]
    assert all_pages(catalog.list_runs, 2, sweep="s1") == mine[::-1]
    assert catalog.get_runs([mine[2].id, "absent", mine[0].id]) == {r.id: r for r in (mine[2], mine[0])}


def test_a_run_that_is_there_keeps_its_links_when_an_older_state_comes_late(catalog: Catalog) -> None:
    given = run(inputs=("in",), tags=("t",))
    ended = given.model_copy(update={"status": RunStatus.COMPLETED, "outputs": (OutputRef(dataset="out"),)})
    catalog.put_runs([ended])
    catalog.put_runs([given], only_new=True)
    assert catalog.get_run(given.id) == ended
    assert catalog.producer("out") == given.id
    assert catalog.consumers("in") == [given.id]
