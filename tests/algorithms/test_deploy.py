"""Deploying: revisions, plans, what is stored, and what survives a crash or a rival."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from algorithm_folders import GAIN, INVERT, write_algorithm
from s3server import S3Server

from workbench.algorithms import Algorithms, gate, stored
from workbench.algorithms.deploy import size_text
from workbench.algorithms.folder import read_folder
from workbench.catalog import Catalog
from workbench.errors import AlreadyExistsError, ConflictError, DamagedError, InvalidAlgorithmError
from workbench.models import AlgorithmType, Revision

CHECKED = """
    from pydantic import BaseModel
    from workbench.runners import Image2ImageRunner

    class Runner(Image2ImageRunner):
        class Parameters(BaseModel):
            sigma: float = 1.0

        def inference(self, data, args={}):
            return data
"""


def keys(algorithms: Algorithms) -> dict[str, list[str]]:
    store = algorithms._store
    return {c: [o.key for o in store.list(c)] for c in store.list_collections()}


@pytest.mark.parametrize("kind", ["folder", "memory", pytest.param("s3", marks=pytest.mark.s3)])
def test_same_content_is_the_same_revision_and_stores_nothing_new(
    tmp_path: Path, make_algorithms: Callable[..., Algorithms], kind: str, request: pytest.FixtureRequest
) -> None:
    url, options = None, None
    if kind == "memory":
        url = request.getfixturevalue("memory_url")
    elif kind == "s3":
        server: S3Server = request.getfixturevalue("s3")
        url, options = server.new_url(), server.storage_options
    algorithms = make_algorithms(url, options)
    folder = write_algorithm(tmp_path / "a", files={"files/w.bin": b"weights", "copy.bin": b"weights"})
    first = algorithms.deploy(folder, check=False)
    before = keys(algorithms)
    assert len(before["packages"]) == 1
    assert len(before["assets"]) == 2  # two equal files are one object, and the toml
    assert before["algorithms"] == ["invert/1.0.json"]
    os.utime(folder / "Runner.py", (1, 1))
    second = algorithms.deploy(folder, check=False)
    assert second.id == first.id
    assert keys(algorithms) == before

    (folder / "Runner.py").write_text((folder / "Runner.py").read_text() + "\n# other\n")
    third = algorithms.deploy(folder, check=False)
    assert third.id != first.id
    assert algorithms.get("invert").id == third.id
    assert algorithms.get(first.id).revision == first.revision
    assert first.runner_class() is not third.runner_class()
    assert third.asset("files/w.bin") == b"weights"
    # back to what it was: a new revision again, so that the name gives what was deployed last
    write_algorithm(folder, files={"files/w.bin": b"weights"})
    fourth = algorithms.deploy(folder, check=False)
    assert fourth.id not in {first.id, third.id}
    assert fourth.revision.content == first.revision.content
    assert len(keys(algorithms)["packages"]) == 2
    assert [a.id for a in algorithms.revisions("invert@1.0")] == [fourth.id, third.id, first.id]


def test_everything_is_written_into_the_revision(tmp_path: Path, algorithms: Algorithms) -> None:
    folder = write_algorithm(tmp_path / "a", extra="deterministic = true\n" + textwrap.dedent(GAIN))
    revision = algorithms.deploy(folder, check=False).revision
    assert (revision.name, revision.major, revision.minor) == ("invert", 1, 0)
    assert revision.type is AlgorithmType.IMAGE2IMAGE
    assert revision.tags == ("test",)
    assert revision.settings == {"deterministic": True}
    assert [p.name for p in revision.parameters] == ["gain"]
    assert revision.source == str(folder)
    assert revision.verdict is None
    on_disk = json.loads(algorithms._store.get("algorithms", "invert/1.0.json"))
    assert [Revision.model_validate(r) for r in on_disk["revisions"]] == [revision]


def test_what_the_toml_is_warned_about_is_kept(tmp_path: Path, algorithms: Algorithms) -> None:
    extra = 'parameters = [{name = "gain", type = "float", default = 1.0}]'
    folder = write_algorithm(tmp_path / "a", extra=extra)
    for _ in range(2):  # the second time with the verdict of the first
        algorithm = algorithms.deploy(folder)
        assert algorithm.revision.verdict.warnings == algorithms.deploy(folder, dry_run=True).warnings
        assert [w for w in algorithm.revision.verdict.warnings if "'gain' has no description" in w]


@pytest.mark.parametrize("change", ["tags", "asset", "parameter", "version"])
def test_any_difference_makes_a_new_revision(tmp_path: Path, algorithms: Algorithms, change: str) -> None:
    folder = write_algorithm(tmp_path / "a", extra=GAIN, files={"w.bin": b"1"})
    first = algorithms.deploy(folder, check=False)
    toml = folder / "pyproject.toml"
    if change == "asset":
        (folder / "w.bin").write_bytes(b"2")
    else:
        old, new = {
            "tags": ('["test"]', '["more"]'),
            "parameter": ("max = 10.0", "max = 9.0"),
            "version": ('"1.0"', '"1.1"'),
        }[change]
        toml.write_text(toml.read_text().replace(old, new))
    assert algorithms.deploy(folder, check=False).id != first.id


def test_gate_runs_once_for_equal_content_also_in_another_process(
    tmp_path: Path, make_algorithms: Callable[..., Algorithms], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_algorithm(tmp_path / "a", code=CHECKED, type="Undefined")
    unchecked = make_algorithms().deploy(folder, check=False)
    assert (unchecked.type, unchecked.parameters.names) == (AlgorithmType.UNDEFINED, ())
    first = make_algorithms().deploy(folder)
    assert (first.type, first.parameters.names) == (AlgorithmType.IMAGE2IMAGE, ("sigma",))
    assert first.revision.verdict is not None
    assert first.revision.verdict.ok
    monkeypatch.setattr(gate, "check", lambda *args, **more: pytest.fail("the gate ran again"))
    again = make_algorithms()  # knows only what is stored
    assert again.deploy(folder).id == first.id
    assert again.deploy(folder, check=False).id == first.id
    assert again.deploy(folder, dry_run=True).state == "unchanged"


def test_checking_later_adds_the_verdict_to_the_same_revision(tmp_path: Path, algorithms: Algorithms) -> None:
    folder = write_algorithm(tmp_path / "a")
    first = algorithms.deploy(folder, check=False)
    checked = algorithms.deploy(folder)
    assert checked.id == first.id
    assert checked.revision.verdict is not None
    assert algorithms.get("invert").revision.verdict == checked.revision.verdict
    assert len(algorithms.revisions("invert@1.0")) == 1


def test_failed_check_stores_nothing_and_a_plan_shows_it(tmp_path: Path, algorithms: Algorithms) -> None:
    folder = write_algorithm(tmp_path / "a", code="import not_installed_at_all\n" + textwrap.dedent(INVERT))
    with pytest.raises(InvalidAlgorithmError, match="pip install not_installed_at_all"):
        algorithms.deploy(folder)
    assert keys(algorithms) == {}
    assert len(algorithms.list()) == 0
    plan = algorithms.deploy(folder, dry_run=True)
    assert len(plan.problems) == 1
    assert "Check failed:\n- Runner.py" in repr(plan)
    assert keys(algorithms) == {}
    assert algorithms.deploy(folder, check=False).revision.verdict is None


def test_plan_shows_what_would_happen_and_stores_nothing(tmp_path: Path, algorithms: Algorithms) -> None:
    folder = write_algorithm(
        tmp_path / "a",
        extra=GAIN,
        files={"w.bin": b"0" * 2048, ".env": "secret", "a.log": "<x>", ".gitignore": "*.log\n"},
    )
    plan = algorithms.deploy(folder, dry_run=True, check=False)
    assert (plan.name, plan.version, plan.type, plan.state) == (
        "invert",
        "1.0",
        "Image2Image",
        "new algorithm",
    )
    assert list(plan.code) == ["Runner.py"]
    assert plan.assets["w.bin"] == 2048
    assert plan.left_out == {
        ".env": "a dot file",
        ".gitignore": "a dot file",
        "a.log": ".gitignore says *.log",
    }
    assert plan.parameters.names == ("gain",)
    text = repr(plan)
    assert "w.bin           asset     2.0 KiB" in text
    assert "Not checked." in text
    assert "<table>" in plan._repr_html_()
    assert keys(algorithms) == {}
    algorithms.deploy(folder, check=False)
    assert algorithms.deploy(folder, dry_run=True, check=False).state == "unchanged"
    (folder / "w.bin").write_bytes(b"1")
    assert algorithms.deploy(folder, dry_run=True, check=False).state == "new revision"
    write_algorithm(folder, version="2.0")
    assert algorithms.deploy(folder, dry_run=True, check=False).state == "new version"


def test_name_that_differs_in_case_only_is_refused(tmp_path: Path, algorithms: Algorithms) -> None:
    algorithms.deploy(write_algorithm(tmp_path / "a", name="denoise"), check=False)
    with pytest.raises(AlreadyExistsError, match='Write name = "denoise"'):
        algorithms.deploy(write_algorithm(tmp_path / "b", name="Denoise"), check=False)


def test_large_asset_goes_through_a_staged_file(
    tmp_path: Path, algorithms: Algorithms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored, "BLOCK", 1000)
    data = os.urandom(5000)
    algorithm = algorithms.deploy(
        write_algorithm(tmp_path / "a", files={"big.bin": data, "b/s.bin": b"s"}), check=False
    )
    assert algorithm.asset("big.bin") == data


@pytest.mark.parametrize("block", [10**6, 1000])
def test_file_that_changed_after_it_was_hashed_stops_the_deploy(
    tmp_path: Path, algorithms: Algorithms, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(stored, "BLOCK", block)
    folder = write_algorithm(tmp_path / "a", files={"w.bin": b"0" * 2000})
    plan = algorithms._deployer.plan(read_folder(folder), check=False)
    (folder / "w.bin").write_bytes(b"1" * 2000)
    with pytest.raises(DamagedError, match="has changed since the deploy began"):
        algorithms._deployer.carry_out(plan)
    assert len(algorithms.list()) == 0
    assert keys(algorithms)["algorithms"] == []


def test_processes_that_deploy_one_version_at_once_lose_nothing(
    tmp_path: Path, algorithms: Algorithms
) -> None:
    algorithms.deploy(write_algorithm(tmp_path / "first"), check=False)  # the place is there
    script = textwrap.dedent("""
        import sys
        from pathlib import Path
        from workbench.algorithms import Algorithms
        from workbench.catalog import Catalog
        from workbench.settings import Settings
        from workbench.storage import FsspecStore

        store, catalog, folder, who = sys.argv[1:]
        algorithms = Algorithms(FsspecStore(store), Catalog.open(catalog), Settings())
        for i in range(6):
            (Path(folder) / "w.bin").write_text(f"{who} {i}")
            algorithms.deploy(folder, check=False)
    """)
    processes = []
    for who in ("a", "b"):
        folder = write_algorithm(tmp_path / who)
        arguments = [str(tmp_path / "store"), f"sqlite:///{tmp_path / 'catalog.sqlite'}", str(folder), who]
        processes.append(
            subprocess.Popen([sys.executable, "-c", script, *arguments], cwd=Path(__file__).parents[2])
        )
    assert [p.wait(120) for p in processes] == [0, 0]
    on_disk = {r.id for r in algorithms.records()}
    assert len(on_disk) == 13
    assert on_disk == {a.id for a in algorithms.revisions("invert@1.0").all()}


def test_rivals_on_other_machines_lose_nothing(
    tmp_path: Path,
    make_algorithms: Callable[..., Algorithms],
    memory_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    algorithms = make_algorithms(memory_url)
    folder = write_algorithm(tmp_path / "a")
    write = stored.StoredAlgorithms.change
    state = {"rival": True}

    def slow(self, name, version, change):  # type: ignore[no-untyped-def]
        if state.pop("rival", False):  # between our reading and our writing, somebody else deploys
            revisions = self.revisions(name, version)
            write_algorithm(tmp_path / "b", files={"w.bin": b"b"})
            with monkeypatch.context() as patch:
                patch.setattr("workbench.algorithms.locks.writing", unlocked)
                make_algorithms(memory_url).deploy(tmp_path / "b", check=False)
            stale = change(revisions)
            return write(self, name, version, lambda now: stale)
        return write(self, name, version, change)

    monkeypatch.setattr(stored.StoredAlgorithms, "change", slow)
    algorithms.deploy(folder, check=False)
    assert len(list(algorithms.records())) == 2
    assert len(algorithms.revisions("invert@1.0")) == 2


class unlocked:  # noqa: N801  # stands for a function
    """No lock reaches other machines."""

    def __init__(self, *args: object) -> None: ...
    def __enter__(self) -> None: ...
    def __exit__(self, *args: object) -> None: ...


def test_store_that_takes_nothing_leaves_no_trace(tmp_path: Path, algorithms: Algorithms) -> None:
    folder = write_algorithm(tmp_path / "a", files={"w.bin": b"1"})
    good = algorithms.deploy(folder, check=False)
    (folder / "w.bin").write_bytes(b"2")
    blocked = tmp_path / "store" / "algorithms" / "invert"
    kept = blocked.rename(tmp_path / "kept")
    blocked.write_text("in the way")
    with pytest.raises(ConflictError):
        algorithms.deploy(folder, check=False)
    blocked.unlink()
    kept.rename(blocked)
    assert algorithms.get("invert").id == good.id
    assert len(algorithms.revisions("invert@1.0")) == 1


def test_package_that_vanished_is_stored_again(tmp_path: Path, algorithms: Algorithms) -> None:
    folder = write_algorithm(tmp_path / "a")
    algorithm = algorithms.deploy(folder, check=False)
    algorithms._store.delete("packages", [f"{algorithm.revision.package}.zip"])
    algorithms.deploy(folder, check=False)
    assert algorithm.runner_class().__name__ == "Runner"


def test_catalog_is_rebuilt_from_the_store(tmp_path: Path, algorithms: Algorithms) -> None:
    folder = write_algorithm(tmp_path / "a")
    first = algorithms.deploy(folder, check=False)
    second = algorithms.deploy(write_algorithm(folder, files={"w.bin": b"1"}), check=False)
    algorithms.alias("invert@1.0", "stable")
    catalog: Catalog = algorithms._catalog
    catalog.clear()
    assert len(algorithms.list()) == 0
    assert algorithms.reindex() == 2
    assert algorithms.get("invert@stable").id == second.id
    assert algorithms.get(first.id).revision == first.revision


def test_damaged_manifest_is_announced_and_the_rest_is_read(tmp_path: Path, algorithms: Algorithms) -> None:
    algorithms.deploy(write_algorithm(tmp_path / "a", name="good"), check=False)
    bad = write_algorithm(tmp_path / "b", name="bad")
    algorithms.deploy(bad, check=False)
    algorithms.alias("bad", "stable")
    algorithms._store.put("algorithms", "bad/1.0.json", "{")
    algorithms._store.put("algorithms", "bad/aliases.json", "[")
    with pytest.warns(UserWarning, match="is damaged") as caught:
        assert algorithms.reindex() == 1
    assert len(caught) == 2
    (bad / "w.bin").write_text("x")
    with pytest.raises(DamagedError, match=r"bad/1\.0\.json is damaged"):
        algorithms.deploy(bad, check=False)


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (5 * 2**30, "5.0 GiB")]
)
def test_sizes_read_well(size: int, text: str) -> None:
    assert size_text(size) == text


def test_a_redeploy_says_what_it_replaces(tmp_path: Path, make_algorithms: Callable[..., Algorithms]) -> None:
    algorithms = make_algorithms()
    folder = write_algorithm(tmp_path / "a", files={"w.bin": b"weights"})
    first = algorithms.deploy(folder, check=False)
    assert first.note == ""
    assert algorithms.deploy(folder, check=False).note == "", "nothing has changed"
    (folder / "Runner.py").write_text((folder / "Runner.py").read_text() + "\nMORE = 1\n")
    second = algorithms.deploy(folder, check=False)
    assert second.note == f"code of invert@1.0 replaced; runs from before keep the old revision, {first.id}"
    assert second.note in repr(algorithms.describe(second))
    (folder / "w.bin").write_bytes(b"others")
    assert algorithms.deploy(folder, check=False).note.startswith("assets of invert@1.0 replaced")
    assert algorithms.get("invert@1.0").note == ""


@pytest.mark.parametrize("toml", [None, '[project]\nname = "a"\nversion = "1.0"'])
def test_a_large_folder_that_is_no_algorithm_is_refused_at_once(tmp_path: Path, toml: str | None) -> None:
    with (tmp_path / "large.bin").open("wb") as file:
        file.truncate(200 << 30)  # sparse; to hash it would take minutes
    if toml is not None:
        (tmp_path / "pyproject.toml").write_text(toml)
    began = time.monotonic()
    with pytest.raises(InvalidAlgorithmError, match=r"no pyproject\.toml|Runner\.py"):
        read_folder(tmp_path)
    assert time.monotonic() - began < 5.0
