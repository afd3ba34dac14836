"""The device of a run: chosen by rule, with its reason."""

from __future__ import annotations

import pytest

from workbench.errors import UnsupportedError
from workbench.execution.devices import DeviceChoice, choose_device, preferred_device

CPU = frozenset({"cpu"})
GPU = frozenset({"cpu", "cuda", "cuda:0", "cuda:1"})
MAC = frozenset({"cpu", "mps"})


@pytest.mark.parametrize(
    ("requested", "supported", "default", "available", "device"),
    [
        (None, ["cpu"], "cpu", CPU, "cpu"),
        ("auto", ["cpu", "gpu"], "gpu", GPU, "cuda"),
        ("gpu", ["cpu", "gpu"], "cpu", GPU, "cuda"),
        ("cuda:1", ["cpu", "gpu"], "cpu", GPU, "cuda:1"),
        ("cuda", ["cpu", "cuda"], "cpu", GPU, "cuda"),
        ("mps", ["cpu", "mps"], "cpu", MAC, "mps"),
        ("cpu", ["cpu", "gpu"], "gpu", GPU, "cpu"),
    ],
)
def test_a_device_that_is_there_is_used(
    requested: str | None, supported: list[str], default: str, available: frozenset[str], device: str
) -> None:
    choice = choose_device(requested, supported, default, "denoise@1.0", available)
    assert choice.device == device
    assert choice.warning == ""


@pytest.mark.parametrize("requested", ["gpu", "cuda:7", "mps"])
def test_a_missing_accelerator_falls_back_to_the_cpu_and_says_so(requested: str) -> None:
    choice = choose_device(requested, ["cpu", "gpu", "mps"], "cpu", "denoise@1.0", CPU)
    assert choice.device == "cpu"
    assert "not present" in choice.warning
    assert "not present" in choice.reason


def test_without_a_cpu_to_fall_back_to_the_run_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="does not support the CPU"):
        choose_device(None, ["gpu"], "gpu", "net@1.0", CPU)


@pytest.mark.parametrize("requested", ["tpu", "cuda:x", "", "CPU "])
def test_an_unknown_device_is_refused_with_the_known_ones(requested: str) -> None:
    with pytest.raises(UnsupportedError, match="is not known"):
        choose_device(requested, ["cpu"], "cpu", "denoise@1.0", CPU)


def test_a_device_that_the_algorithm_does_not_support_is_refused_before_anything() -> None:
    with pytest.raises(
        UnsupportedError, match=r"'gpu' is not supported by algorithm 'denoise@1.0'; it supports cpu"
    ):
        choose_device("gpu", ["cpu"], "cpu", "denoise@1.0", GPU)


def test_the_reason_says_who_wanted_it() -> None:
    assert choose_device("cpu", ["cpu"], "cpu", "a@1.0", CPU) == DeviceChoice("cpu", "asked for")
    assert choose_device(None, ["cpu"], "cpu", "a@1.0", CPU) == DeviceChoice("cpu", "the algorithm's default")


def test_a_preferred_device_is_taken_only_where_it_is_supported() -> None:
    assert preferred_device("cuda:1", ["cpu", "gpu"]) == "cuda:1"
    assert preferred_device("gpu", ["cpu"]) is None
    assert preferred_device("auto", ["cpu", "gpu"]) is None
