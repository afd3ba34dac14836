"""A form offers what was computed already: when fields change, or at Run where hashing takes long."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from algorithm_folders import GAIN, write_algorithm

import workbench
from workbench.notebook import reuse_offer
from workbench.notebook.forms import Form
from workbench.workspace import Workspace


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[Workspace]:
    with workbench.open(tmp_path / "ws") as opened:
        opened.algorithms.deploy(write_algorithm(tmp_path / "invert", extra=GAIN), check=False)
        yield opened


@pytest.fixture
def variables() -> dict[str, Any]:
    return {"image": np.arange(1024.0).reshape(32, 32)}


@pytest.fixture
def form(ws: Workspace, variables: dict[str, Any]) -> Iterator[Form]:
    made = Form(ws, "invert", inputs=["image"], namespace=variables)
    yield made
    made.close()


def eventually(check: Callable[[], bool], timeout_s: float = 10.0) -> None:
    end = time.monotonic() + timeout_s
    while not check():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def looked(form: Form) -> bool:
    """Let the form look now, in this thread, and tell whether it offers something."""
    form._offer.paint()
    assert (form._offer.layout.display is None) == (form._offer.run is not None)
    return form._offer.run is not None


def test_a_known_result_is_offered_when_the_values_come_to_it(
    form: Form, ws: Workspace, variables: dict[str, Any]
) -> None:
    known = ws.run("invert", variables["image"], {"gain": 2.0})
    assert not looked(form)
    form.write({"gain": 2.0})
    eventually(lambda: form._offer.run is not None)
    assert form._offer.layout.display is None
    assert known.id in form._offer._text.value
    assert "Already computed on 20" in form._offer._text.value
    form.write({"gain": 3.0})
    assert form._offer.layout.display == "none"
    assert not looked(form)


def test_a_form_that_opens_on_a_known_result_offers_it(ws: Workspace, variables: dict[str, Any]) -> None:
    ws.run("invert", variables["image"])
    form = Form(ws, "invert", inputs=["image"], namespace=variables)
    eventually(lambda: form._offer.run is not None)
    form.close()


def test_what_is_offered_is_used(form: Form, ws: Workspace, variables: dict[str, Any]) -> None:
    known = ws.run("invert", variables["image"])
    form._look()
    assert looked(form)
    form._offer._use.click()
    assert form.run is not None
    assert form.run.reused_from == known.id
    assert f"reused from {known.id}" in form._view._head.value
    eventually(lambda: "<img" in form._view._result.value)
    assert form._offer.run is None
    assert not form._run_button.disabled


@pytest.mark.parametrize("button", ["_again", "run"])
def test_it_is_computed_again_when_asked_for(
    form: Form, ws: Workspace, variables: dict[str, Any], button: str
) -> None:
    ws.run("invert", variables["image"])
    form._look()
    assert looked(form)
    (form._run_button if button == "run" else form._offer._again).click()
    assert form.run is not None
    assert form.run.wait(20).status == "COMPLETED"
    assert form.run.reused_from is None


def test_what_is_shown_already_is_not_offered(form: Form) -> None:
    form._run_button.click()
    assert form.run is not None
    form.run.wait(20)
    eventually(lambda: not form._run_button.disabled)
    form._look()
    assert not looked(form)


def test_a_variable_that_changes_takes_the_offer_away(
    form: Form, ws: Workspace, variables: dict[str, Any]
) -> None:
    ws.run("invert", variables["image"])
    form._look()
    assert looked(form)
    variables["image"] = variables["image"] + 1
    form._cell_ran(None)
    assert not looked(form)


def test_an_offer_that_is_gone_meanwhile_says_so(
    form: Form, ws: Workspace, variables: dict[str, Any]
) -> None:
    known = ws.run("invert", variables["image"])
    form._look()
    assert looked(form)
    ws.datasets.delete(known.outputs[0])
    form._offer._use.click()
    assert form.run is None
    assert "has lost outputs" in form._reason.value


def test_large_inputs_are_looked_for_at_run_and_offered_once(
    form: Form, ws: Workspace, variables: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    known = ws.run("invert", variables["image"])
    monkeypatch.setattr("workbench.notebook.forms.QUICK_BYTES", 16)
    form._look()
    assert not looked(form)
    form._run_button.click()
    assert form.run is None
    assert form._offer.run is not None
    assert form._offer.run.id == known.id
    form._run_button.click()
    assert form.run is not None
    assert form.run.wait(20).reused_from is None


@pytest.mark.parametrize("word", ["image[:2]", "picture.npy"])
def test_what_is_computed_or_read_waits_for_run(
    form: Form, ws: Workspace, word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save(tmp_path / "picture.npy", np.zeros((3, 4)))
    form._inputs._rows[0].box.value = word
    assert form._inputs.quick_values(reuse_offer.QUICK_BYTES) is None
    assert not looked(form)
    form._run_button.click()
    assert form.run is not None
    assert form.run.wait(20).status == "COMPLETED"


def test_nothing_is_offered_for_an_algorithm_that_is_not_deterministic(
    ws: Workspace, variables: dict[str, Any], tmp_path: Path
) -> None:
    folder = write_algorithm(tmp_path / "noise", "noise", extra="deterministic = false\n" + GAIN)
    ws.algorithms.deploy(folder, check=False)
    ws.run("noise", variables["image"])
    form = Form(ws, "noise", inputs=["image"], namespace=variables)
    assert not looked(form)
    form.close()


def test_with_the_setting_auto_a_click_on_run_takes_what_is_known(
    ws: Workspace, variables: dict[str, Any]
) -> None:
    with workbench.open(ws.url, reuse="auto") as auto:
        known = auto.run("invert", variables["image"])
        form = Form(auto, "invert", inputs=["image"], namespace=variables)
        assert not looked(form)
        form._run_button.click()
        assert form.run is not None
        assert form.run.reused_from == known.id
        form.close()
