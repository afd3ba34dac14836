"""How lists are found: by walking an index, whatever the filters; never by reading or sorting a whole table."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest
import sqlalchemy as sa

from workbench.catalog import Catalog
from workbench.catalog.search import decode_cursor, encode_cursor, like, literal_prefix, micros
from workbench.models import DatasetRecord, OutputRef, Revision, RunRecord, RunStatus

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
MANY = 1200  # more than are sorted


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalog]:
    """Give a catalog where the tag "many" has more records than are ever sorted, and the tag "few" has three."""
    with Catalog.open(f"sqlite:///{tmp_path_factory.mktemp('catalog')}/catalog.sqlite") as catalog:
        times = [START + timedelta(seconds=i) for i in range(MANY)]
        ids = [f"{i:020d}" for i in range(MANY)]
        tags = [("many", "few") if i < 3 else ("many",) for i in range(MANY)]
        base: dict[str, Any] = {"schema_name": "S", "keys": {}, "nbytes": 1}
        catalog.put_datasets(
            [
                DatasetRecord(
                    id=ids[i],
                    digest=f"d{i}",
                    name=f"n{i:05d}",
                    tags=tags[i],
                    created=times[i],
                    parents=("parent",),
                    **base,
                )
                for i in range(MANY)
            ]
        )
        catalog.put_runs(
            [
                RunRecord(
                    id=ids[i],
                    algorithm="a@1.0",
                    algorithm_name="a",
                    revision="r",
                    inputs=("common",),
                    outputs=(OutputRef(dataset=f"o{i}"),),
                    tags=tags[i],
                    created=times[i],
                )
                for i in range(MANY)
            ]
        )
        for i in range(5):
            catalog.put_revision(
                Revision(
                    id=ids[i], name="a", major=1, minor=i // 2, package="p", tags=tags[i], created=times[i]
                )
            )
        yield catalog


def plans(catalog: Catalog, ask: Any) -> list[tuple[str, str]]:
    """Return each statement that a call sends, and SQLite's plan of it."""
    sent: list[tuple[str, Any]] = []

    def keep(connection: Any, cursor: Any, statement: str, values: Any, context: Any, many: bool) -> None:
        sent.append((statement, values))

    engine = catalog._database.engine
    sa.event.listen(engine, "before_cursor_execute", keep)
    ask()
    sa.event.remove(engine, "before_cursor_execute", keep)
    with engine.connect() as connection:
        return [
            (
                statement,
                "\n".join(
                    row[3] for row in connection.exec_driver_sql("EXPLAIN QUERY PLAN " + statement, values)
                ),
            )
            for statement, values in sent
        ]


def offences(plan: str) -> list[str]:
    """Return the steps of a plan that read or sort a whole table.

    "SCAN table USING INDEX" is a walk of the list in its order, which LIMIT ends.
    """
    harmless = ("INDEX", "anon", "CONSTANT")  # anon: the counted up to _FEW
    steps = [step.strip() for step in plan.splitlines()]
    scans = [step for step in steps if step.startswith("SCAN") and not any(word in step for word in harmless)]
    return scans + [step for step in steps if "TEMP B-TREE" in step]


def options(**choices: list[Any]) -> list[dict[str, Any]]:
    """Return all combinations of filters; None leaves one out, and a dict is filters that go together."""
    found = []
    for values in product(*choices.values()):
        filters = {key: value for key, value in zip(choices, values, strict=True) if value is not None}
        together = [filters.pop(key) for key in list(filters) if isinstance(filters[key], dict)]
        found.append({**filters, **(together[0] if together else {})})
    return found


def cursor(order: str, *values: Any) -> str:
    return encode_cursor(order, values)


MIDDLE = [micros(START + timedelta(seconds=MANY // 2)), f"{MANY // 2:020d}"]


@pytest.mark.parametrize("order", ["-created", "created"])
def test_no_list_of_runs_scans_or_sorts(filled: Catalog, order: str) -> None:
    choices = options(
        status=[None, "PENDING", list(RunStatus)],
        algorithm=[None, "a", "a@1.0"],
        revision=[None, "r"],
        dataset=[None, "common"],
        tags=[None, ["few"], ["many"]],
        place=[None, {"since": START, "after": cursor(order, *MIDDLE)}],
    )
    for filters in choices:
        for statement, plan in plans(filled, lambda: filled.list_runs(order=order, **filters)):  # noqa: B023
            assert offences(plan) == [], (filters, statement, plan)


@pytest.mark.parametrize("order", ["-created", "created", "name", "-name"])
def test_no_list_of_datasets_scans_or_sorts(filled: Catalog, order: str) -> None:
    start = MIDDLE if order.endswith("created") else [f"n{MANY // 2:05d}", *MIDDLE]
    choices = options(
        name=[None, "n00001", "n*", "*1"],
        tags=[None, ["many"]] if order.endswith("name") else [None, ["few"], ["few", "many"]],
        schema=[None, "S"],
        digest=[None, "d1"],
        place=[None, {"until": START + timedelta(days=1), "after": cursor(order, *start)}],
    )
    for filters in choices:
        for statement, plan in plans(filled, lambda: filled.list_datasets(order=order, **filters)):  # noqa: B023
            assert offences(plan) == [], (filters, statement, plan)


@pytest.mark.parametrize(
    ("filters", "index"),
    [
        ({}, "ix_runs_created"),
        ({"status": "LOST"}, "ix_runs_status"),
        ({"algorithm": "a"}, "ix_runs_name"),
        ({"algorithm": "a", "status": "LOST"}, "ix_runs_name_status"),
        ({"algorithm": "a@1.0"}, "ix_runs_algorithm"),
        ({"algorithm": "a@1.0", "status": "LOST"}, "ix_runs_algorithm_status"),
        ({"revision": "r", "status": "LOST", "algorithm": "a@1.0"}, "ix_runs_revision"),
        ({"tags": ["few"], "status": "LOST"}, "ix_run_tags_tag"),
        ({"dataset": "o1", "status": "LOST"}, "ix_run_outputs_dataset_id"),
    ],
)
def test_each_filter_of_runs_walks_the_index_made_for_it(
    filled: Catalog, filters: dict[str, Any], index: str
) -> None:
    *_, (_, plan) = plans(filled, lambda: filled.list_runs(**filters))
    assert f"INDEX {index} " in plan.replace("\n", " ") + " "


@pytest.mark.parametrize(
    ("filters", "index"),
    [
        ({}, "ix_datasets_created"),
        ({"name": "*x*"}, "ix_datasets_created"),
        ({"name": "n*"}, "ix_datasets_created"),
        ({"name": "n1", "schema": "S"}, "ix_datasets_name"),
        ({"schema": "S"}, "ix_datasets_schema"),
        ({"digest": "d1", "name": "n1", "run_id": "r"}, "ix_datasets_digest"),
        ({"run_id": "r", "name": "n1", "schema": "S"}, "ix_datasets_run"),
        ({"tags": ["many", "few"], "schema": "S"}, "ix_dataset_tags_tag"),
        ({"order": "name", "schema": "S", "tags": ["many"]}, "ix_datasets_name"),
    ],
)
def test_each_filter_of_datasets_walks_the_index_made_for_it(
    filled: Catalog, filters: dict[str, Any], index: str
) -> None:
    *_, (_, plan) = plans(filled, lambda: filled.list_datasets(**filters))
    assert f"INDEX {index} " in plan.replace("\n", " ") + " "


def test_few_names_or_tags_are_found_by_their_index_and_sorted(filled: Catalog) -> None:
    for filters in ({"name": "n0000*"}, {"tags": ["few"], "order": "name"}):
        *_, (_, plan) = plans(filled, lambda: filled.list_datasets(**filters))  # noqa: B023
        assert "TEMP B-TREE" in plan
        assert "SEARCH datasets USING INDEX ix_datasets_name" in plan or "ix_dataset_tags_tag" in plan
        assert "SCAN" not in plan


@pytest.mark.parametrize("order", ["-created", "created", "name", "-name"])
def test_no_list_of_revisions_scans_or_sorts(filled: Catalog, order: str) -> None:
    # five revisions: tags are few here, and in the order of names a small sort
    choices = options(
        name=[None, "a", "a*"],
        checked=[None, {"major": 1, "type": "Undefined", "without_tags": ["x"], "device": "cpu"}],
        tags=[None, ["few"]] if order.endswith("created") else [None],
        any_tags=[None, ["few", "many"]],
        newest_only=[True, False],
    )
    for filters in choices:
        for statement, plan in plans(filled, lambda: filled.list_revisions(order=order, **filters)):  # noqa: B023
            assert offences(plan) == [], (filters, statement, plan)


def test_no_look_up_scans_or_sorts(filled: Catalog) -> None:
    asked = {
        "get_datasets": lambda: filled.get_datasets(["a", "b"]),
        "newest_dataset": lambda: filled.newest_dataset("n00001"),
        "dataset_names": lambda: filled.dataset_names("n0", limit=3),
        "objects_in_use": lambda: filled.objects_in_use(["d1", "d2"]),
        "find_revision": lambda: [
            filled.find_revision("a"),
            filled.find_revision("a", 1),
            filled.find_revision("a", 1, 0),
        ],
        "algorithm_names": lambda: filled.algorithm_names("a"),
        "files_in_use": lambda: filled.files_in_use(["p"]),
        "get_aliases": lambda: filled.get_aliases("a"),
        "get_run": lambda: filled.get_run("a"),
        "runs_with_key": lambda: filled.runs_with_key("k"),
        "runs_of_revision": lambda: filled.runs_of_revision("r"),
        "producer": lambda: filled.producer("o1"),
        "consumers": lambda: filled.consumers("common"),
        "referrers": lambda: [filled.referrers("common", 4), filled.referrers("parent", 4)],
        "reusing": lambda: filled.reusing("r", "o1", 4),
    }
    for name, ask in asked.items():
        for statement, plan in plans(filled, ask):
            assert offences(plan) == [], (name, statement, plan)


def test_a_page_reads_no_more_rows_than_it_shows(filled: Catalog) -> None:
    """Count the steps of SQLite's virtual machine: they do not grow with the place in the list."""
    steps: list[int] = []
    with filled._database.engine.connect() as connection:
        connection.connection.driver_connection.set_progress_handler(lambda: steps.append(1), 100)
    counts = []
    for place in (1, MANY // 2, MANY - 60):
        steps.clear()
        after = cursor("created", micros(START + timedelta(seconds=place)), f"{place:020d}")
        page, _ = filled.list_runs(order="created", algorithm="a", status="PENDING", limit=50, after=after)
        assert [int(run.id) for run in page] == list(range(place + 1, place + 51))
        counts.append(len(steps))
    with filled._database.engine.connect() as connection:
        connection.connection.driver_connection.set_progress_handler(None, 0)
    assert max(counts) <= min(counts) + 1
    assert max(counts) * 100 < 50 * 40


def test_cursor_comes_back() -> None:
    text = encode_cursor("-name", ["ü~n", 5, "id"])
    assert text.isascii()
    assert decode_cursor(text, "-name", 3) == ["ü~n", 5, "id"]


def test_times_keep_their_microseconds() -> None:
    assert micros(datetime(1970, 1, 1, 0, 0, 1, 5, tzinfo=UTC)) == 1_000_005
    assert micros(datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)) == 253_402_300_799_999_999
    assert micros(datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)) == -1_000_000


@pytest.mark.parametrize(
    ("pattern", "prefix", "expected"),
    [("a*", "a", "a%"), ("?a", "", "_a"), ("50%_x\\*", "50%_x\\", "50\\%\\_x\\\\%"), ("[a]*", "[a]", "[a]%")],
)
def test_patterns_are_translated(pattern: str, prefix: str, expected: str) -> None:
    assert literal_prefix(pattern) == prefix
    assert like(pattern) == expected
