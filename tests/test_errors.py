"""The tree of errors: every one crosses processes, is the builtin people expect, and has a kind of its own."""

from __future__ import annotations

import pickle

import pytest

from workbench import errors
from workbench.errors import WorkbenchError, did_you_mean, nearest

ALL = [cls for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, WorkbenchError)]


@pytest.mark.parametrize("cls", ALL, ids=lambda cls: cls.__name__)
def test_every_error_survives_pickling_with_its_facts(cls: type[WorkbenchError]) -> None:
    error = cls("it went wrong", field="sigma", near=["a"])
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is cls
    assert str(again) == "it went wrong"
    assert again.facts == {"field": "sigma", "near": ["a"]}
    assert again.near == ["a"]


def test_every_error_has_a_kind_of_its_own() -> None:
    kinds = [cls.kind for cls in ALL]
    assert len(kinds) == len(set(kinds))


def test_every_error_stands_in_the_picture() -> None:
    assert errors.__doc__ is not None
    assert [cls.__name__ for cls in ALL if cls.__name__ not in errors.__doc__] == []


@pytest.mark.parametrize(
    ("cls", "builtin"),
    [
        (errors.NotFoundError, KeyError),
        (errors.InvalidInputError, ValueError),
        (errors.AlreadyExistsError, FileExistsError),
        (errors.ReadOnlyError, PermissionError),
        (errors.MissingPackageError, ImportError),
        (errors.RunTimeoutError, TimeoutError),
        (errors.DamagedError, OSError),
    ],
)
def test_errors_are_the_builtins_people_catch(cls: type[WorkbenchError], builtin: type[Exception]) -> None:
    assert issubclass(cls, builtin)
    assert str(cls("plain text")) == "plain text"


def test_near_names_ignore_case_and_stay_silent_about_strangers() -> None:
    assert nearest("SIGAM", ["sigma", "gain"]) == ["sigma"]
    assert did_you_mean("sigam", ["sigma"]) == " Did you mean 'sigma'?"
    assert did_you_mean("zzz", ["sigma"]) == ""
