"""ws.algorithms: list, get, alias, delete, files."""

from __future__ import annotations

from pathlib import Path

import pytest
from algorithm_folders import INVERT, write_algorithm

from workbench.algorithms import Algorithms
from workbench.algorithms.runnable import resolve
from workbench.errors import (
    DamagedError,
    InUseError,
    InvalidInputError,
    InvalidNameError,
    NotFoundError,
    WorkspaceError,
)
from workbench.models import RunRecord, now
from workbench.names import new_id


def deploy(algorithms: Algorithms, folder: Path, name: str = "invert", version: str = "1.0", **more: object):  # type: ignore[no-untyped-def]
    table = str(more.pop("table", ""))
    write_algorithm(folder, name=name, version=version, **more)  # type: ignore[arg-type]
    toml = folder / "pyproject.toml"
    if table:
        toml.write_text(toml.read_text().split("[tool.workbench]")[0] + f"[tool.workbench]\n{table}\n")
    return algorithms.deploy(folder, check=False)


@pytest.fixture
def several(algorithms: Algorithms, tmp_path: Path) -> Algorithms:
    for version in ("1.2", "1.10", "2.0", "1.9"):
        deploy(algorithms, tmp_path / "d", "denoise", version)
    tables = {
        "align": 'algorithm_type = "Image2Alignment"\ntags = ["a", "b"]\nsupported_devices = ["gpu"]',
        "embed": 'algorithm_type = "Image2Embedding"\ntags = ["b", "c"]\nsupported_devices = ["cpu", "gpu"]',
    }
    for name, table in tables.items():
        deploy(algorithms, tmp_path / name, name, table=table)
    return algorithms


def refs(page: object) -> list[str]:
    return [a.ref for a in page]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("ref", "found"),
    [
        ("denoise", "denoise@2.0"),
        ("denoise@1", "denoise@1.10"),
        ("denoise@1.9", "denoise@1.9"),
        ("denoise@1.9.7", "denoise@1.9"),
        ("DeNoise@1", "denoise@1.10"),
        (" align ", "align@1.0"),
    ],
)
def test_reference_names_the_newest_match(several: Algorithms, ref: str, found: str) -> None:
    assert several.get(ref).ref == found


def test_handle_and_id_are_references_too(several: Algorithms) -> None:
    algorithm = several.get("denoise@1.9")
    assert several.get(algorithm) is algorithm
    assert several.get(algorithm.id) == algorithm
    assert several.get(f"denoise@{algorithm.id}") == algorithm


@pytest.mark.parametrize(
    ("ref", "said", "near"),
    [
        ("denois", "Did you mean 'denoise'?", ["denoise"]),
        ("denoise@3", "It has: denoise@1.2, denoise@1.9, denoise@1.10, denoise@2.0", None),
        ("denoise@1.11", "has no '1.11'", None),
        ("denoise@stabel", "has no 'stabel'", None),
        ("zzzzzz", "There are: align, denoise, embed.", []),
        (f"denoise@{'0' * 20}", "has no '00000000000000000000'", None),
    ],
)
def test_what_is_not_there_is_answered_with_what_is(
    several: Algorithms, ref: str, said: str, near: list[str] | None
) -> None:
    with pytest.raises(NotFoundError) as caught:
        several.get(ref)
    assert said in str(caught.value)
    if near is not None:
        assert list(caught.value.near) == near


def test_empty_place_says_how_to_begin(algorithms: Algorithms) -> None:
    with pytest.raises(NotFoundError, match=r"none yet\. Deploy one"):
        algorithms.get("denoise")
    assert repr(algorithms.list()) == "No algorithms. Deploy one: ws.algorithms.deploy('folder')."


def test_reference_that_is_no_text_is_refused(several: Algorithms) -> None:
    with pytest.raises(InvalidInputError, match="3 names no algorithm"):
        several.get(3)  # type: ignore[arg-type]
    with pytest.raises(InvalidNameError, match="nothing behind '@'"):
        several.get("denoise@")


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({}, ["embed@1.0", "align@1.0", "denoise@1.9", "denoise@2.0", "denoise@1.10", "denoise@1.2"]),
        ({"name": "denoise", "major": 1, "order": "name"}, ["denoise@1.2", "denoise@1.9", "denoise@1.10"]),
        ({"name": "Denoise", "minor": 0}, ["denoise@2.0"]),
        ({"name": "*n*", "tags": "b"}, ["align@1.0"]),
        ({"type": "image2EMBEDDING"}, ["embed@1.0"]),
        ({"tags": ["a", "b"]}, ["align@1.0"]),
        ({"any_tags": ["a", "c"]}, ["embed@1.0", "align@1.0"]),
        ({"without_tags": "test"}, ["embed@1.0", "align@1.0"]),
        ({"device": "cuda"}, ["embed@1.0", "align@1.0"]),
        ({"device": "gpu", "without_tags": ["c"]}, ["align@1.0"]),
        ({"name": "absent"}, []),
    ],
)
def test_list_filters(several: Algorithms, filters: dict[str, object], found: list[str]) -> None:
    assert refs(several.list(**filters)) == found  # type: ignore[arg-type]


def test_list_is_paged_and_reads_as_a_table(several: Algorithms) -> None:
    page = several.list(limit=4)
    assert page.has_more
    assert refs(page.next()) == ["denoise@1.10", "denoise@1.2"]
    assert len(list(page.all())) == 6
    assert repr(page).splitlines()[0].split() == [
        "algorithm",
        "type",
        "devices",
        "tags",
        "description",
        "deployed",
    ]
    assert page.table()["algorithm"].tolist() == refs(page)
    with pytest.raises(InvalidInputError, match="Did you mean 'Image2Image'"):
        several.list(type="Image2Imag")
    with pytest.raises(InvalidInputError, match=r"Device 'gpus' is not known\. Did you mean 'gpu'"):
        several.list(device="gpus")


def test_an_empty_listing_names_what_there_is(several: Algorithms) -> None:
    assert repr(several.list(name="denois")) == "No algorithms. Did you mean 'denoise'?"
    assert repr(several.list(tags="absent")) == "No algorithms. None of these fits: align, denoise, embed."


def test_completion_offers_names_then_versions_and_aliases(several: Algorithms) -> None:
    several.alias("denoise@1.9", "stable")
    assert several.complete("de") == ["denoise"]
    assert several.complete("denoise@") == [
        "denoise@stable", "denoise@1", "denoise@2", "denoise@1.2", "denoise@1.9", "denoise@1.10", "denoise@2.0",
    ]  # fmt: skip
    assert several.complete("denoise@s") == ["denoise@stable"]
    assert several.names() == ["align", "denoise", "embed"]


def test_alias_follows_a_version_and_pins_a_revision(algorithms: Algorithms, tmp_path: Path) -> None:
    first = deploy(algorithms, tmp_path / "a")
    algorithms.alias("invert@1.0", "stable")
    algorithms.alias(first.id, "paper")
    second = deploy(algorithms, tmp_path / "a", files={"w.bin": b"1"})
    assert algorithms.get("invert@stable") == second
    assert algorithms.get("invert@paper") == first
    assert algorithms.aliases("Invert") == {"paper": first.id, "stable": "1.0"}
    algorithms.alias(second, "paper")
    assert algorithms.aliases("invert")["paper"] == "1.0"
    algorithms.remove_alias("invert", "paper")
    algorithms.remove_alias("invert", "stable")
    assert algorithms.aliases("invert") == {}
    with pytest.raises(NotFoundError, match="no alias 'stable'"):
        algorithms.remove_alias("invert", "stable")


@pytest.mark.parametrize("alias", ["1", "1.2", "2fast", "a b", "", "a@b", "x" * 101])
def test_alias_is_a_name_that_no_version_looks_like(several: Algorithms, alias: str) -> None:
    with pytest.raises(InvalidNameError):
        several.alias("denoise", alias)


def test_delete_keeps_files_that_another_algorithm_needs(algorithms: Algorithms, tmp_path: Path) -> None:
    one = deploy(algorithms, tmp_path / "one", "one", files={"shared.bin": b"s", "own.bin": b"o"})
    other = deploy(algorithms, tmp_path / "other", "other", files={"shared.bin": b"s"})
    assert one.revision.package == other.revision.package
    assert algorithms.delete("one@1.0") == 1
    assert other.asset("shared.bin") == b"s"
    assert other.runner_class().__name__ == "Runner"
    kept = {o.key for c in ("packages", "assets") for o in algorithms._store.list(c)}
    assert kept == {f"{other.revision.package}.zip", *other.revision.assets.values()}
    assert algorithms.delete(other) == 1
    assert [o.key for c in ("packages", "assets", "algorithms") for o in algorithms._store.list(c)] == []
    assert algorithms.reindex() == 0


def test_delete_one_revision_or_the_whole_version(algorithms: Algorithms, tmp_path: Path) -> None:
    ids = [deploy(algorithms, tmp_path / "a", files={"w.bin": bytes([i])}).id for i in range(3)]
    assert algorithms.delete(ids[2]) == 1
    assert algorithms.get("invert").id == ids[1]
    assert {r.id for r in algorithms.records()} == {ids[0], ids[1]}
    assert algorithms.delete("invert@1.0") == 2
    with pytest.raises(NotFoundError):
        algorithms.delete("invert@1.0")


def test_delete_wants_a_full_version(several: Algorithms) -> None:
    several.alias("denoise@1.9", "stable")
    for ref in ("denoise", "denoise@1"):
        with pytest.raises(InvalidInputError, match=r"names no single version.*denoise@1\.10"):
            several.delete(ref)
    with pytest.raises(InvalidInputError, match="remove_alias"):
        several.delete("denoise@stable")
    assert len(several.list()) == 6


def test_delete_of_what_runs_or_aliases_need_asks_first(algorithms: Algorithms, tmp_path: Path) -> None:
    algorithm = deploy(algorithms, tmp_path / "a")
    for _ in range(2):
        run = RunRecord(
            id=new_id(),
            algorithm=algorithm.ref,
            algorithm_name="invert",
            revision=algorithm.id,
            created=now(),
        )
        algorithms._catalog.put_run(run)
    algorithms.alias("invert@1.0", "stable")
    with pytest.raises(InUseError, match=r"2 runs and alias 'stable'.*force=True") as caught:
        algorithms.delete("invert@1.0")
    assert list(caught.value.users) == ["2 runs", "alias 'stable'"]
    assert algorithms.get("invert@stable") == algorithm
    assert algorithms.delete("invert@1.0", force=True) == 1
    assert algorithms.aliases("invert") == {}
    assert [o.key for o in algorithms._store.list("algorithms")] == []


def test_older_revision_of_an_aliased_version_may_go(algorithms: Algorithms, tmp_path: Path) -> None:
    first = deploy(algorithms, tmp_path / "a")
    deploy(algorithms, tmp_path / "a", files={"w.bin": b"1"})
    algorithms.alias("invert@1.0", "stable")
    assert algorithms.delete(first.id) == 1
    with pytest.raises(InUseError, match="alias 'stable'"):
        algorithms.delete(algorithms.get("invert").id)


@pytest.mark.parametrize("path", ["files/w.bin", "files\\w.bin", "/files/w.bin", "./files/w.bin"])
def test_asset_is_found_by_its_path(algorithms: Algorithms, tmp_path: Path, path: str) -> None:
    assert deploy(algorithms, tmp_path / "a", files={"files/w.bin": b"w"}).asset(path) == b"w"


def test_asset_that_is_not_there_or_outside_is_refused(algorithms: Algorithms, tmp_path: Path) -> None:
    algorithm = deploy(algorithms, tmp_path / "a", files={"files/w.bin": b"w"})
    with pytest.raises(NotFoundError, match=r"Did you mean 'files/w\.bin'"):
        algorithm.asset("files/w.bim")
    with pytest.raises(InvalidNameError, match=r"'\.\.' segment"):
        algorithm.asset("../secret")
    with pytest.raises(InvalidNameError, match=r"'\.\.' segment"):
        resolve(algorithms, tmp_path / "a").asset("../secret")


def test_damaged_or_missing_files_are_named(algorithms: Algorithms, tmp_path: Path) -> None:
    algorithm = deploy(algorithms, tmp_path / "a", files={"w.bin": b"w"}, code=INVERT + "\n    # its own\n")
    algorithms._store.put("assets", algorithm.revision.assets["w.bin"], b"other")
    with pytest.raises(DamagedError, match="digest differs"):
        algorithm.asset("w.bin")
    algorithms._store.delete("packages", [f"{algorithm.revision.package}.zip"])
    with pytest.raises(NotFoundError, match="Deploy the folder again"):
        algorithm.runner_class()


def test_calling_an_algorithm_runs_it(algorithms: Algorithms, tmp_path: Path) -> None:
    algorithm = deploy(algorithms, tmp_path / "a")
    assert algorithm("x", sigma=2.0) == ((algorithm, "x", {"sigma": 2.0}), {})
    assert algorithm("x", "y", run_options={"device": "cpu"}) == (
        (algorithm, ("x", "y"), {}),
        {"device": "cpu"},
    )
    assert algorithm() == ((algorithm, (), {}), {})
    from workbench.algorithms import Algorithm

    with pytest.raises(WorkspaceError, match="belongs to no workspace"):
        Algorithm(algorithm.revision, algorithms)("x")


def test_handle_describes_itself(algorithms: Algorithms, tmp_path: Path) -> None:
    import inspect

    from algorithm_folders import GAIN

    algorithm = deploy(algorithms, tmp_path / "a", extra=GAIN, files={"w.bin": b"1"})
    assert repr(algorithm) == "Algorithm invert@1.0 (Image2Image)"
    assert list(inspect.signature(algorithm).parameters) == ["inputs", "gain", "run_options"]
    text = str(algorithms.describe("invert"))
    for said in (
        "invert@1.0: invert for tests",
        "w.bin",
        algorithm.id,
        "0.0 to 10.0, step 0.5",
        "not checked",
    ):
        assert said in text
    bundle = algorithm._repr_mimebundle_()
    assert bundle["text/plain"] == text
    assert "<strong>invert@1.0</strong>" in bundle["text/html"]
