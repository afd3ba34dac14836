from __future__ import annotations

import sys

import pytest

from workbench import compat, runners, schemas
from workbench.errors import UnsupportedError

RUNNERS = [name for name in runners.__all__ if name.endswith("Runner")]


@pytest.mark.parametrize("prefix", ["compox.", ""])
@pytest.mark.parametrize("name", RUNNERS)
def test_every_runner_is_a_module_that_holds_the_class(prefix, name):
    module = compat.find(f"{prefix}algorithm_utils.{name}")
    assert getattr(module, name) is getattr(runners, name)
    assert getattr(compat.find(f"{prefix}algorithm_utils"), name) is module


@pytest.mark.parametrize("prefix", ["compox.", ""])
def test_schemas_are_ours(prefix):
    module = compat.find(f"{prefix}algorithm_utils.io_schemas")
    assert module.ImageSchema is schemas.ImageSchema
    assert all(issubclass(getattr(module, name), schemas.DataSchema) for name in module.__all__)
    assert len(module.__all__) == 8


@pytest.mark.parametrize("prefix", ["compox.", ""])
def test_debug_helpers_import_and_say_what_to_use_instead(prefix):
    handler = compat.find(f"{prefix}tasks.DebuggingTaskHandler").DebuggingTaskHandler
    with pytest.raises(UnsupportedError, match=r"ws\.run\(.*debug=True\)"):
        handler("task-1")
    with pytest.raises(UnsupportedError, match=r"ws\.run\('algos/denoise'.*%algorun algos/denoise --debug"):
        compat.find(f"{prefix}algorithm_debug").debug("algos/denoise")


def test_unknown_name_lists_what_is_served():
    with pytest.raises(
        ModuleNotFoundError, match=r"compox\.algorithm_utils\.BaseRuner.*Did you mean"
    ) as caught:
        compat.find("compox.algorithm_utils.BaseRuner")
    assert caught.value.name == "compox.algorithm_utils.BaseRuner"
    assert "compox.algorithm_utils.io_schemas" in str(caught.value)


def test_nothing_enters_sys_modules():
    compat.find("compox.algorithm_utils.BaseRunner")
    assert not {"compox", "algorithm_utils", "tasks", "algorithm_debug"} & sys.modules.keys()
    assert {name.partition(".")[0] for name in compat._modules()} == compat.TOP_NAMES
