"""Pages of entries, whatever index leads to them, are those that one loop over all entries gives."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from workbench.catalog import Catalog, entry_search
from workbench.catalog.conditions import Group, parse
from workbench.catalog.entry_search import EntryQuestion
from workbench.catalog.search import micros
from workbench.errors import InvalidInputError
from workbench.models import EntryKind, EntryRecord, now
from workbench.names import new_id

COUNT = 160


def _facts(i: int, draw: random.Random) -> dict[str, Any]:
    """Return metadata of which some is absent, and some a number here and a text there."""
    found: dict[str, Any] = {
        "error": round(draw.random(), 2),
        "layers": i % 4,
        "family": "abc"[i % 3],
        "seed": i,
    }
    if i % 5 == 0:
        del found["error"]
    if i % 7 == 0:
        found["layers"] = "many"
    if i % 2:
        found["checked"] = True
    if i % 6 == 0:
        found["learning rate"] = i / 10
    if i % 4:
        found["hash"] = [2**53, 2**53 + 1, -(2**64), 16**300, 5, 1e17][i % 6]
    return found


@pytest.fixture(scope="module")
def everything(new_url: Callable[[], str]) -> Iterator[tuple[Catalog, list[EntryRecord]]]:
    """Return a catalog and the records in it, in the order in which they were added."""
    draw, begin = random.Random(5), now()
    records = [
        EntryRecord(
            id=new_id(),
            application="other" if i % 11 == 0 else "ours",
            domain=f"d{draw.randrange(3)}",
            kind=EntryKind.MODELS if draw.random() < 0.7 else EntryKind.DATA,
            version=i // 8 + 1 + 5000 * (i > 150),
            name=f"net{draw.randrange(9)}.pt",
            digest=f"{i:064x}",
            size=(i * 37 % 50) * 10**9,
            metadata=_facts(i, draw),
            created=begin + timedelta(seconds=i),
            trashed=begin if draw.random() < 0.1 else None,
        )
        for i in range(COUNT)
    ]
    with Catalog.open(new_url()) as catalog:
        keys = {(r.application, r.domain, str(r.kind)) for r in records}
        for start in range(0, COUNT, 50):
            with catalog.change_entries(keys) as change:
                change.add(records[start : start + 50])
        yield catalog, records


CONDITIONS = [
    "",
    "error < 0.05",
    "error < 0.9",
    "error < 0.5 and layers == 3",
    "0.2 <= error < 0.3 and family == 'a'",
    "error < 0.1 or layers == 1",
    "not layers == 3",
    "not (error < 0.5 or family != 'a')",
    "layers in (1, 2) and checked",
    "layers in ('many', 2)",
    "layers == 'many'",
    "seed < 40 and layers >= 1",
    "seed < 60 and error > 0.2",
    "seed == 77",
    "seed < 0",
    "version < 4",
    "version < 4 and error < 0.5",
    "version in (2, 3) and not family == 'a'",
    "name == 'net3.pt' and error < 0.9",
    "name in ('net3.pt', 'net4.pt')",
    "absent == 1",
    "error != 0.5 and layers != 2",
    "`learning rate` < 5 and family != '`a`'",
    "hash == 9007199254740993",
    "hash != 9007199254740993 and not hash == 9007199254740992",
    "hash in (9007199254740992, 5, 'text', 100000000000000000)",
    "hash > 1e30 or hash < 0",
    f"hash == {16**300}",
    "version < 1e30 and version in (1, 2, 1e30)",
    "version < 3.5 and not version in (1e30, 2.5)",
    "error < 0.8 and error > 0.1 and error != 0.5",
    "size < 4e9",
    "size > 4.5 and size <= 3e10 and not error < 0.3",
    "size in (0, 1e9, 17e9, 1.5) and size != 17e9",
    "size < 9.5 or size > 1e999 or layers == 2",
    "size == '5' or size in (2.5, 1e300)",
    "kind == 'models'",
    "kind == 'models' and error < 0.5 and size >= 1e10",
    "kind != 'models' or domain in ('d1', 'd2') and layers == 1",
    "not (kind == 'models' and error < 0.5)",
    "domain > 'd0' and not domain == 'd2' and name == 'net3.pt'",
    "(domain == 'd0' or kind == 'data') and seed < 90",
    "domain == 'nowhere' or kind == 3",
    "created < MIDDLE and created != MIDDLE",
    "created >= MIDDLE and size < 2e10 and family == 'a'",
    "not created < MIDDLE or name in ('net1.pt', 'net2.pt')",
    "version > 100 or name >= 'net7.pt' and not name < 3",
]
ORDERS = ["-created", "created", "-version", "version", "error", "-error", "layers", "-layers", "seed"]
OWN_ORDERS = ["size", "-name", "domain", "-kind"]
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "in": lambda a, b: a in b,
}


def _fulfils(record: EntryRecord, part: Any) -> bool:
    if isinstance(part, Group):
        found = [_fulfils(record, p) for p in part.parts]
        return any(found) if part.how == "or" else all(found) is (part.how == "and")
    facts = {**record.metadata, **record.model_dump(include={"version", "name", "size", "domain"})}
    facts |= {"kind": str(record.kind), "created": micros(record.created)}
    value = facts.get(part.key.removeprefix("="))
    wanted = part.value
    if part.key.startswith("="):  # the digits of a large number
        wanted = tuple(map(int, wanted)) if part.sign == "in" else int(wanted)
    is_text = isinstance(wanted[0] if part.sign == "in" else wanted, str)
    if value is None or isinstance(value, str) is not is_text:
        return False
    return _COMPARE[part.sign](value, wanted)


def _expected(records: list[EntryRecord], question: EntryQuestion) -> list[str]:
    mine = [
        (number, r)
        for number, r in enumerate(records)
        if r.application == question.application
        and question.domain in (None, r.domain)
        and question.kind in (None, str(r.kind))
    ]
    alive = [(number, r) for number, r in mine if (r.trashed is not None) is question.trashed]
    if question.versions == "latest":
        highest: dict[Any, int] = {}
        for _, r in alive:
            highest[r.domain, r.kind] = max(r.version, highest.get((r.domain, r.kind), 0))
        found = [(n, r) for n, r in alive if r.version == highest[r.domain, r.kind]]
    else:
        found = [(n, r) for n, r in alive if question.versions is None or r.version in question.versions]
    found = [(n, r) for n, r in found if question.name in (None, r.name) or question.name == "net*"]
    found = [(n, r) for n, r in found if all(_fulfils(r, part) for part in question.where)]
    field = question.order.removeprefix("-")
    rows = []
    for n, r in found:
        own = {"created": n, "version": r.version, "size": r.size, "name": r.name, "domain": r.domain}
        value = {**r.metadata, **own, "kind": str(r.kind)}.get(field)
        is_text = isinstance(value, str)
        if value is not None:
            rows.append(((is_text, value, n), r.id))
    return [id_ for _, id_ in sorted(rows, reverse=question.order.startswith("-"))]


def _pages(catalog: Catalog, **asked: Any) -> list[str]:
    ids: list[str] = []
    after: str | None = None
    while True:
        texts, after = catalog.search_entries(EntryQuestion("ours", after=after, **asked))
        assert len(texts) <= asked["limit"]
        ids += [EntryRecord.model_validate_json(text).id for text in texts]
        if after is None:
            return ids


@pytest.mark.parametrize("order", ORDERS + OWN_ORDERS)
@pytest.mark.parametrize("way", ["as it is", "glance", "windows", "far off", "few branches"])
def test_pages_equal_a_loop_over_all(
    everything: tuple[Catalog, list[EntryRecord]], order: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog, records = everything
    if way not in ("as it is", "glance"):
        monkeypatch.setattr(entry_search, "isqrt", lambda n: 0)  # nothing is few
    if way == "glance":
        monkeypatch.setattr(entry_search, "_WINDOW", 8)
        monkeypatch.setattr(entry_search, "_GLANCE", 8)
        monkeypatch.setattr(entry_search, "_AT_ONCE", 3)
    if way == "windows":
        monkeypatch.setattr(entry_search, "_WINDOW", 8)
    if way == "far off":
        monkeypatch.setattr(entry_search, "_WINDOW", 16)
        monkeypatch.setattr(entry_search, "_PATIENCE", 16)
    if way == "few branches":
        monkeypatch.setattr(entry_search, "_BRANCHES", 2)
    for i, text in enumerate(CONDITIONS):
        if order in OWN_ORDERS and i % 2 == len(way) % 2:
            continue  # it takes long enough
        domain, kind = [(None, None), ("d1", "models"), (None, "data")][(i + len(order)) % 3]
        where = parse(text.replace("MIDDLE", str(micros(records[COUNT // 2].created)))) if text else []
        asked = {"domain": domain, "kind": kind, "order": order, "where": where}
        expected = _expected(records, EntryQuestion("ours", **asked))
        assert _pages(catalog, limit=13, **asked) == expected, (text, domain, kind)


@pytest.mark.parametrize("order", ["-created", "version", "error", "-layers", "size", "-name", "domain"])
@pytest.mark.parametrize("versions", [None, [1], [2, 5, 9], "latest"])
@pytest.mark.parametrize("name", [None, "net3.pt", "net*"])
def test_versions_and_names_lead_to_the_same(
    everything: tuple[Catalog, list[EntryRecord]], order: str, versions: Any, name: str | None
) -> None:
    catalog, records = everything
    for text, domain in (("", None), ("error < 0.8", "d2"), ("layers == 1", None)):
        asked = {"domain": domain, "versions": versions, "name": name, "order": order}
        asked["where"] = parse(text) if text else []
        expected = _expected(records, EntryQuestion("ours", **asked))
        assert _pages(catalog, limit=13, **asked) == expected, (text, domain)


def test_the_trash_is_a_list_of_its_own(everything: tuple[Catalog, list[EntryRecord]]) -> None:
    catalog, records = everything
    orders = [{"order": order} for order in ("version", "-size", "name", "kind")]
    for asked in ({}, {"domain": "d0"}, {"name": "net1.pt"}, {"versions": "latest"}, *orders):
        found = _pages(catalog, limit=4, trashed=True, **asked)
        if asked.get("versions") != "latest":
            assert found == _expected(records, EntryQuestion("ours", trashed=True, **asked))


def test_many_values_are_one_condition(everything: tuple[Catalog, list[EntryRecord]]) -> None:
    catalog, records = everything
    for count in (1, 1001, 30_000):
        where = parse(f"seed in ({', '.join(map(str, range(3, 3 + count)))},)")
        for order in ("-created", "seed", "error"):
            expected = _expected(records, EntryQuestion("ours", where=where, order=order))
            assert _pages(catalog, limit=50, where=where, order=order) == expected
    with pytest.raises(InvalidInputError, match=r"compared with 30001 values, and at most 30000"):
        parse(f"seed in {tuple(range(30_001))}")
    long = " or ".join(f"seed == {i}" for i in range(400))
    assert len(_pages(catalog, limit=500, where=parse(long))) == sum(
        r.application == "ours" and not r.trashed for r in records
    )
    with pytest.raises(InvalidInputError, match=r"401 comparisons.*key in"):
        parse(f"{long} or seed == 400")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("checked == true", "write True"),
        ("family == relu", "write text in quotes: 'relu'"),
        ("`a b` == `c d`", "write text in quotes: 'c d'"),
        ("`a b` + 1", "'`a b` \\+ 1' is no comparison"),
        ("lambda < 1", "stands in backticks"),
    ],
)
def test_what_is_wrong_with_a_condition_is_said(text: str, hint: str) -> None:
    with pytest.raises(InvalidInputError, match=hint):
        parse(text)
