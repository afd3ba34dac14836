"""Result reuse: one thing changes at a time; hit or miss, and the reason is named."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from algorithm_folders import generic, write_algorithm

import workbench
from workbench.algorithms import Algorithm
from workbench.algorithms.runnable import resolve
from workbench.errors import InvalidInputError, NotFoundError, UnsupportedError
from workbench.execution.reuse import checked_mode, counting_assets, kept_key, key_of, of_call, of_revision
from workbench.models import Revision, now

PARAMETERS = """
    parameters = [
      {name = "gain", type = "float", default = 1.0},
      {name = "steps", type = "int", default = 1},
      {name = "box", type = "int_tuple", length = 2, default = [1, 2]},
      {name = "fail", type = "bool", default = false, adjustable = false},
    ]
"""
RUNNER = """
    from workbench.runners import Image2ImageRunner
    from filters import scaled

    class Runner(Image2ImageRunner):
        def inference(self, data, args):
            if args["fail"]:
                raise ValueError("asked to fail")
            return scaled(data, args["gain"])
"""
FILTERS = """
    ITERATIONS = 10

    def scaled(image, gain):
        return image * gain * ITERATIONS
"""
RANDOM = "deterministic = false\n"


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[workbench.Workspace]:
    with workbench.open(tmp_path / "ws") as workspace:
        yield workspace


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).random((16, 12), dtype=np.float32)


def deploy(
    ws: workbench.Workspace,
    *,
    version: str = "1.0",
    runner: str = RUNNER,
    filters: str = FILTERS,
    extra: str = "",
    files: dict[str, str | bytes] | None = None,
) -> Algorithm:
    folder = Path(ws.url) / ".." / "scale"
    write_algorithm(
        folder,
        "scale",
        runner,
        version=version,
        extra=textwrap.dedent(extra) + textwrap.dedent(PARAMETERS),
        files={"filters.py": filters, "weights.bin": b"w1", "README.md": "one", **(files or {})},
    )
    return ws.algorithms.deploy(folder, check=False)


def named(ws: workbench.Workspace, run: workbench.execution.run.Run) -> list[str]:
    """Return what ``%algowhy`` says that differs."""
    return [f"{d.part} {d.text}" for d in ws.why(run.id).differences if d.counts]


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"filters": FILTERS.replace("ITERATIONS = 10", "ITERATIONS    =   10  # ten")},
        {"filters": FILTERS.replace("return image", '"""Scale it."""\n\n        return image')},
        {
            "filters": "    # by me"
            + FILTERS.replace("image * gain * ITERATIONS", "(image * gain) * ITERATIONS")
        },
        {"files": {"README.md": "two"}},
        {"files": {"LICENSE": "mine"}},
        {"version": "1.1"},
        {"extra": 'default_device = "cpu"\nresumable = true\n'},
    ],
)
def test_what_does_not_count_is_a_hit(
    ws: workbench.Workspace, image: np.ndarray, change: dict[str, Any]
) -> None:
    first = deploy(ws)(image)
    second = ws.run(deploy(ws, **change), image, reuse="auto")
    assert (second.status, second.reused_from) == ("COMPLETED", first.id)
    assert second.id != first.id
    assert [d.id for d in second.outputs] == [d.id for d in first.outputs]
    np.testing.assert_array_equal(second.result(), image * 10)
    assert named(ws, second) == []


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"filters": FILTERS.replace("10", "20")}, "code filters.py: constant ITERATIONS 10 -> 20"),
        ({"filters": FILTERS.replace("* gain", "/ gain")}, "code filters.py: function scaled changed"),
        ({"runner": RUNNER.replace("to fail", "for it")}, "code Runner.py: method Runner.inference changed"),
        ({"files": {"more.py": "x = 1"}}, "code more.py: added"),
        ({"files": {"weights.bin": b"w2"}}, "asset weights.bin changed"),
        ({"files": {"data/README.md": "read by the runner"}}, "asset data/README.md added"),
    ],
)
def test_what_an_algorithm_is_made_of_counts_and_is_named(
    ws: workbench.Workspace, image: np.ndarray, change: dict[str, Any], name: str
) -> None:
    deploy(ws)(image)
    run = ws.run(deploy(ws, **change), image, reuse="auto")
    assert (run.status, run.reused_from) == ("COMPLETED", None)
    assert named(ws, run) == [name]
    assert "no completed run was the same" in ws.why(run.id).reason


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"gain": 2.0}, "parameter gain: 1.0 -> 2.0"),
        ({"steps": 2}, "parameter steps: 1 -> 2"),
        ({"gain": float("nan")}, "parameter gain: 1.0 -> nan"),
        ({"box": (2, 1)}, "parameter box: [1, 2] -> [2, 1]"),
    ],
)
def test_a_parameter_counts_and_is_named(
    ws: workbench.Workspace, image: np.ndarray, values: dict[str, Any], name: str
) -> None:
    scale = deploy(ws)
    scale(image)
    run = ws.run(scale, image, values, reuse="auto")
    assert run.reused_from is None
    assert [text.replace("(", "[").replace(")", "]") for text in named(ws, run)] == [name]
    assert ws.run(scale, image, values, reuse="auto").reused_from == run.id


def test_a_default_that_is_written_out_is_a_hit(ws: workbench.Workspace, image: np.ndarray) -> None:
    scale = deploy(ws)
    first = scale(image)
    values = {"gain": 1, "steps": np.int64(1), "box": [1, 2]}
    assert ws.run(scale, image, values, reuse="auto").reused_from == first.id


def test_an_input_counts_and_is_named(ws: workbench.Workspace, image: np.ndarray) -> None:
    scale = deploy(ws)
    first = scale(image)
    other = ws.datasets.put({"image": image + 1}, name="scan-8")
    run = ws.run(scale, other, reuse="auto")
    assert run.reused_from is None
    assert named(ws, run) == [f"input 0 {first.inputs[0].id} (16 x 12 float32) -> scan-8 (16 x 12 float32)"]
    several = ws.run(scale, [image, image], reuse="auto")
    assert named(ws, several)[0] == "inputs 1 -> 2"


@pytest.mark.parametrize(
    "given",
    [
        lambda ws, image: image.copy(),
        lambda ws, image: np.asfortranarray(image),
        lambda ws, image: image[None],
        lambda ws, image: [image],
        lambda ws, image: {"image": image},
        lambda ws, image: ws.datasets.put({"image": image}, name="scan-7").id,
    ],
)
def test_equal_content_is_a_hit_however_it_is_given(
    ws: workbench.Workspace, image: np.ndarray, given: Callable[..., Any]
) -> None:
    first = deploy(ws)(image)
    assert ws.run("scale", given(ws, image), reuse="auto").reused_from == first.id


@pytest.mark.parametrize(
    "other", [lambda a: a.astype(np.float64), lambda a: a[:, ::-1], lambda a: a.reshape(12, 16)]
)
def test_other_content_is_a_miss(
    ws: workbench.Workspace, image: np.ndarray, other: Callable[[np.ndarray], np.ndarray]
) -> None:
    scale = deploy(ws)
    scale(image)
    assert ws.run(scale, other(image), reuse="auto").reused_from is None


def test_the_order_of_inputs_counts(ws: workbench.Workspace, image: np.ndarray) -> None:
    scale = deploy(ws)
    scale([image, image + 1])
    assert ws.run(scale, [image + 1, image], reuse="auto").reused_from is None


def revision(**settings: Any) -> Revision:
    return Revision(id="r", name="a", major=1, minor=0, package="p", settings=settings, created=now())


def test_a_device_counts_where_the_algorithm_says_so() -> None:
    def key(device: str, **settings: Any) -> str:
        return key_of(of_call(revision(**settings), {}, ["input"], device))

    assert key("cpu") == key("cuda")
    assert key("cpu", device_matters=False) == key("cuda", device_matters=False)
    assert key("cpu", device_matters=True) != key("cuda", device_matters=True)
    assert key("cuda:0", device_matters=True) == key("cuda:1", device_matters=True)


def test_a_device_that_differs_is_named(ws: workbench.Workspace, image: np.ndarray) -> None:
    scale = deploy(ws, extra="device_matters = true\n")
    first = scale(image)
    code = ws.algorithms.code(scale.revision).digest
    parts = of_revision(scale.revision, code) | of_call(scale.revision, first.parameters, [], "cuda")
    on_card = first.record.model_copy(
        update={
            "id": workbench.names.new_id(),
            "device": "cuda",
            "created": now(),
            "reuse_parts": {**first.record.reuse_parts, "device": parts["device"]},
            "reuse_key": "another",
        }
    )
    ws.runs.save(on_card)
    assert [f"{d.part} {d.text}" for d in ws.why(on_card.id).differences] == ["device cpu -> cuda"]


def test_assets_for_people_do_not_count() -> None:
    about = ["pyproject.toml", "README.md", "README", "LICENSE.txt", "Changelog.rst"]
    assert counting_assets(dict.fromkeys([*about, "a/README.md", "readme_data.bin"], "d")) == {
        "a/README.md": "d",
        "readme_data.bin": "d",
    }


def test_a_run_that_a_person_starts_computes(ws: workbench.Workspace, image: np.ndarray) -> None:
    scale = deploy(ws)
    first = scale(image)
    second = scale(image)
    assert second.reused_from is None
    assert ws.why(second.id).reason == f"computed, because reuse was off; reuse='auto' uses run {first.id}."
    assert ws.why(first.id).reason == "computed, because reuse was off."


def test_the_setting_is_the_default(tmp_path: Path, image: np.ndarray) -> None:
    with workbench.open(tmp_path / "ws", reuse="auto") as ws:
        scale = deploy(ws)
        first = scale(image)
        assert scale(image).reused_from == first.id
        assert scale(image, run_options={"reuse": "never"}).reused_from is None


def test_a_reused_run_says_so_everywhere(ws: workbench.Workspace, image: np.ndarray) -> None:
    first = deploy(ws)(image)
    events: list[Any] = []
    second = ws.run("scale", image, reuse="auto", tags=["again"], on_event=events.append)
    again = ws.runs.get(second.id)
    assert f"reused from {first.id}, computed on 20" in repr(again)
    assert f"reused from {first.id}" in again._repr_html_()
    assert [row["device"] for row in ws.runs.list().rows()] == ["reused", "cpu"]
    assert f"reused from {first.id}" in again.log
    assert (again.reused_from, again.progress, again.record.tags) == (first.id, 1.0, ("again",))
    assert [(e.run_id, e.status) for e in events] == [(second.id, "COMPLETED")]
    assert ws.why(second.id).reason.startswith(f"reused from {first.id}")
    assert ws.catalog.producer(second.outputs[0].id) == first.id
    assert [r.id for r in ws.runs.list(tags=["again"])] == [second.id]


def test_the_original_is_followed(ws: workbench.Workspace, image: np.ndarray) -> None:
    first = deploy(ws)(image)
    assert [ws.run("scale", image, reuse="auto").reused_from for _ in range(3)] == [first.id] * 3


def test_a_hit_stores_no_array_and_starts_no_executor(ws: workbench.Workspace, image: np.ndarray) -> None:
    first = deploy(ws)(image)
    before = [d.id for d in ws.datasets.list()]
    run = ws.run("scale", image, reuse="auto", executor="kernel", wait=False)
    assert run.reused_from == first.id
    assert [d.id for d in ws.datasets.list()] == before
    assert run.record.inputs == first.record.inputs
    assert run.record.phases == {}


def test_a_miss_stores_no_content_twice(ws: workbench.Workspace, image: np.ndarray) -> None:
    named_one = ws.datasets.put({"image": image}, name="scan-7")
    run = ws.run(deploy(ws), image, reuse="auto")
    assert [d.id for d in run.inputs] == [named_one.id]


def test_a_slice_keeps_the_stack_that_it_comes_from(ws: workbench.Workspace, image: np.ndarray) -> None:
    ws.run(deploy(ws), image, reuse="auto")
    stack = ws.datasets.put({"volume": image[None]}, name="stack")
    run = ws.run("scale", stack, reuse="auto")
    assert run.reused_from is not None
    assert run.inputs[0].record.parents == (stack.id,)


def test_a_deleted_output_is_a_miss(ws: workbench.Workspace, image: np.ndarray) -> None:
    scale = deploy(ws)
    first = scale(image)
    ws.datasets.delete(first.outputs[0])
    run = ws.run(scale, image, reuse="auto")
    assert run.reused_from is None
    assert (
        ws.why(run.id).reason
        == f"computed, because outputs of run {first.id}, which is the same, were deleted."
    )


def test_an_output_whose_arrays_are_gone_is_a_miss(ws: workbench.Workspace, image: np.ndarray) -> None:
    scale = deploy(ws)
    first = scale(image)
    (Path(ws.url) / "objects" / f"{first.outputs[0].digest}.h5").unlink()
    assert ws.run(scale, image, reuse="auto").reused_from is None


def test_inputs_that_were_deleted_are_stored_again(ws: workbench.Workspace, image: np.ndarray) -> None:
    first = deploy(ws)(image)
    ws.datasets.delete(first.inputs[0], force=True)
    run = ws.run("scale", image, reuse="auto")
    assert run.reused_from == first.id
    np.testing.assert_array_equal(run.inputs[0].array, image)


def test_a_run_that_did_not_complete_is_never_reused(ws: workbench.Workspace, image: np.ndarray) -> None:
    scale = deploy(ws)
    failed = scale(image, fail=True)
    again = ws.run(scale, image, {"fail": True}, reuse="auto")
    assert (failed.status, again.status, again.reused_from) == ("FAILED", "FAILED", None)
    assert f"run {failed.id}, which is the same, is FAILED" in ws.why(again.id).reason


def test_a_debug_run_is_never_reused_and_never_reuses(ws: workbench.Workspace, image: np.ndarray) -> None:
    scale = deploy(ws)
    debugged = ws.run(scale, image, debug=True)
    assert ws.run(scale, image, reuse="auto").reused_from is None
    assert ws.run(scale, image, reuse="auto", debug=True).reused_from is None
    assert "debug run" in ws.why(debugged.id).reason
    with pytest.raises(InvalidInputError, match="nothing to debug"):
        ws.run(scale, image, reuse="only", debug=True)


def test_a_folder_is_never_reused(ws: workbench.Workspace, image: np.ndarray) -> None:
    deploy(ws)(image)
    folder = Path(ws.url).parent / "scale"
    run = ws.run(folder, image, reuse="auto")
    assert run.reused_from is None
    assert "runs of a folder" in ws.why(run.id).reason
    assert ws.find_run(folder, image) is None
    with pytest.raises(UnsupportedError, match="Deploy it first"):
        ws.run(folder, image, reuse="only")


def test_a_non_deterministic_algorithm_is_reused_only_when_asked_to(
    ws: workbench.Workspace, image: np.ndarray
) -> None:
    scale = deploy(ws, extra=RANDOM)
    first = scale(image)
    second = ws.run(scale, image, reuse="auto")
    assert second.reused_from is None
    assert "deterministic = false" in ws.why(second.id).reason
    assert ws.run(scale, image, reuse="only").reused_from in {first.id, second.id}


def test_only_computes_nothing_and_names_what_differs(ws: workbench.Workspace, image: np.ndarray) -> None:
    scale = deploy(ws)
    with pytest.raises(NotFoundError, match="no run of this algorithm to compare"):
        ws.run(scale, image, reuse="only")
    first = scale(image)
    with pytest.raises(
        NotFoundError, match=rf"{first.id}; what differs: parameter gain: 1.0 -> 3.0"
    ) as raised:
        ws.run(scale, image, {"gain": 3.0}, reuse="only")
    assert "reuse='auto'" in str(raised.value)
    with pytest.raises(NotFoundError, match=r"input 0 .* -> 16 x 12 float32 image"):
        ws.run(scale, image + 1, reuse="only")
    assert [r.id for r in ws.runs.list()] == [first.id]
    assert len(ws.datasets.list()) == 2
    ws.datasets.delete(first.outputs[0])
    with pytest.raises(NotFoundError, match=f"Run {first.id} is the same, but has lost outputs"):
        ws.run(scale, image, reuse="only")


def test_a_run_in_a_session_is_never_reused_and_never_reuses(
    ws: workbench.Workspace, image: np.ndarray
) -> None:
    chosen = resolve(ws.algorithms, deploy(ws))
    assert checked_mode("auto", chosen, debug=False) == "auto"
    assert checked_mode("auto", chosen, debug=False, session="tuning") == "never"
    with pytest.raises(InvalidInputError, match="session 'tuning' may depend"):
        checked_mode("only", chosen, debug=False, session="tuning")
    assert kept_key({"code": "c"}, debug=False, session=None) == key_of({"code": "c"})
    assert kept_key({"code": "c"}, debug=False, session="tuning") == ""


def test_an_unknown_mode_lists_the_choices(ws: workbench.Workspace, image: np.ndarray) -> None:
    with pytest.raises(InvalidInputError, match=r"'alway', expected one of never, auto, only"):
        ws.run(deploy(ws), image, reuse="alway")
    with pytest.raises(InvalidInputError, match="Setting 'reuse' is 'always'"):
        workbench.open(ws.url, reuse="always")


def test_text_outputs_are_reused_too(ws: workbench.Workspace, tmp_path: Path) -> None:
    code = generic("return data").replace(
        'return self.post_data([{"data": d} for d in data], GenericSchema)', 'return ["done"]'
    )
    ws.algorithms.deploy(write_algorithm(tmp_path / "t", "t", code, type="Generic"), check=False)
    first = ws.run("t", np.zeros(3))
    second = ws.run("t", np.zeros(3), reuse="auto")
    assert (second.reused_from, second.outputs, second.record.warnings) == (first.id, ["done"], ())


def test_find_run_finds_without_storing(ws: workbench.Workspace, image: np.ndarray) -> None:
    scale = deploy(ws)
    assert ws.find_run(scale, image) is None
    first = scale(image)
    count = len(ws.datasets.list())
    found = ws.find_run(scale, image)
    assert found is not None
    assert found.id == first.id
    assert ws.find_run(scale, image + 1) is None
    assert len(ws.datasets.list()) == count


def test_racing_runs_all_complete_and_agree(ws: workbench.Workspace, image: np.ndarray) -> None:
    scale = deploy(ws)
    together, runs = threading.Barrier(6), []

    def start() -> None:
        together.wait()
        runs.append(ws.run(scale, image, reuse="auto"))

    threads = [threading.Thread(target=start) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [run.status for run in runs] == ["COMPLETED"] * 6
    assert len({run.outputs[0].digest for run in runs}) == 1
    computed = {run.id for run in runs if run.reused_from is None}
    assert {run.reused_from for run in runs if run.reused_from is not None} <= computed
    assert ws.run(scale, image, reuse="auto").reused_from in computed


def test_another_kernel_reuses(ws: workbench.Workspace, image: np.ndarray) -> None:
    first = deploy(ws)(image)
    np.save(Path(ws.url).parent / "image.npy", image)
    code = """
import sys, numpy, workbench
ws = workbench.open(sys.argv[1])
run = ws.run("scale", numpy.load(sys.argv[2]), reuse="auto")
print(run.id, run.reused_from)
"""
    out = subprocess.check_output(
        [sys.executable, "-c", code, ws.url, str(Path(ws.url).parent / "image.npy")], text=True
    )
    id, reused_from = out.split()
    assert reused_from == first.id
    assert ws.runs.get(id).reused_from == first.id


def test_a_background_run_is_reused_and_reuses(ws: workbench.Workspace, image: np.ndarray) -> None:
    scale = deploy(ws)
    first = ws.run(scale, image, executor="process")
    assert (first.status, first.record.reuse_key != "") == ("COMPLETED", True)
    assert ws.run(scale, image, reuse="auto").reused_from == first.id
    again = ws.run(scale, image, executor="process", reuse="auto", wait=False)
    assert (again.status, again.reused_from) == ("COMPLETED", first.id)
    np.testing.assert_array_equal(again.wait(1).result(), image * 10)


def test_keys_survive_reindex(ws: workbench.Workspace, image: np.ndarray) -> None:
    first = deploy(ws)(image)
    ws.run("scale", image, reuse="auto")
    ws.reindex()
    assert ws.run("scale", image, reuse="auto").reused_from == first.id


def test_why_names_the_run_with_fewest_differences(ws: workbench.Workspace, image: np.ndarray) -> None:
    scale = deploy(ws)
    near = scale(image, gain=2.0, steps=5)
    scale(image + 1, gain=3.0, steps=1)
    run = scale(image, gain=2.0, steps=6)
    why = ws.why(run.id)
    assert why.nearest == near.id
    assert "steps: 5 -> 6" in repr(why)
    assert "steps: 5 -&gt; 6" in why._repr_html_()


def test_why_compares_with_the_revision_that_differs_in_the_fewest_places(
    ws: workbench.Workspace, image: np.ndarray
) -> None:
    base = deploy(ws)(image)
    deploy(ws, filters=FILTERS.replace("ITERATIONS = 10", "ITERATIONS = 20"))(image)
    run = ws.run(deploy(ws, filters=FILTERS + "\n    K = 2\n"), image, reuse="auto")
    why = ws.why(run.id)
    assert why.nearest == base.id
    assert [d.text for d in why.differences if d.counts] == ["filters.py: constant K added, 2"]


def test_why_says_that_the_device_counts_now(ws: workbench.Workspace, image: np.ndarray) -> None:
    deploy(ws)(image)
    run = ws.run(deploy(ws, extra="device_matters = true\n"), image, reuse="auto")
    assert run.reused_from is None
    assert [(d.part, d.text) for d in ws.why(run.id).differences if d.counts] == [
        ("device", "counts now (device_matters)")
    ]


def test_why_mentions_what_does_not_count(ws: workbench.Workspace, image: np.ndarray) -> None:
    deploy(ws)(image)
    run = ws.run(deploy(ws, version="1.1", filters="    # new" + FILTERS), image, reuse="auto")
    why = ws.why(run.id)
    assert {(d.part, d.counts) for d in why.differences} == {("code", False), ("version", False)}
    assert "scale@1.0 -> scale@1.1 (does not count)" in repr(why)


def test_why_of_runs_whose_revision_or_original_was_deleted(
    ws: workbench.Workspace, image: np.ndarray
) -> None:
    first = deploy(ws)(image)
    reused = ws.run("scale", image, reuse="auto")
    changed = ws.run(deploy(ws, version="2.0", filters=FILTERS.replace("10", "20")), image)
    ws.algorithms.delete("scale@1.0", force=True)
    assert "a revision was deleted" in repr(ws.why(changed.id))
    ws.runs.delete(first.id, force=True)
    assert "that run was deleted since" in ws.why(reused.id).reason
    with pytest.raises(NotFoundError):
        ws.why(first.id)


def test_why_names_another_python_and_a_deleted_input(ws: workbench.Workspace, image: np.ndarray) -> None:
    scale = deploy(ws)
    first, second = scale(image), scale(image + 1)
    parts = {**second.record.reuse_parts, "code": "of another Python"}
    facts = {"python": "3.99.1"}
    ws.runs.save(second.record.model_copy(update={"reuse_parts": parts, "environment": facts}))
    ws.datasets.delete(first.inputs[0], force=True)
    shown = repr(ws.why(second.id))
    assert f"the same, read by Python {first.environment['python']} and 3.99.1" in shown
    assert f"{first.record.inputs[0]} (deleted since) -> {second.record.inputs[0]}" in shown


def test_a_package_that_is_gone_gives_no_key(ws: workbench.Workspace, image: np.ndarray) -> None:
    scale = deploy(ws)
    (Path(ws.url) / "packages" / f"{scale.revision.package}.zip").unlink()
    run = ws.run(scale, image, reuse="auto")
    assert (run.status, run.record.reuse_key) == ("FAILED", "")
    assert "it has no key" in ws.why(run.id).reason
