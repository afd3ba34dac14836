"""What counts in a function: its code and what it holds, not its comments."""

from __future__ import annotations

import functools
import threading

import numpy as np
import pytest

from workbench.pipelines.meaning import meaning

LEVEL = 1


def helper(x):
    return x + LEVEL


def uses_helper(x):
    return helper(x)


def made(code: str, **names):
    space = dict(names)
    exec(code, space)
    return space["f"]


def digest(what) -> str:
    found, unknown = meaning(what)
    assert found, unknown
    return found


def test_comments_docstrings_and_lines_do_not_count():
    plain = made("def f(x):\n    return x + 1")
    assert digest(plain) == digest(made("\n\ndef f(x):\n    # adds\n    return (x +\n        1)"))
    assert digest(made("def f(x):\n    'one'\n    return 'a'")) == digest(
        made("def f(x):\n    '''two'''\n    return 'a'")
    )


@pytest.mark.parametrize(
    "code",
    [
        "def f(x):\n    return x + 2",
        "def f(x):\n    return x - 1",
        "def f(x, y=1):\n    return x + y",
        "def f(x):\n    return 'x'",
        "def f(x):\n    g = lambda y: y + 1\n    return g(x)",
    ],
)
def test_code_counts(code):
    assert digest(made(code)) != digest(made("def f(x):\n    return x + 1"))


def test_defaults_closures_globals_and_partials_count():
    def with_closure(value):
        return lambda x: x + value

    assert digest(with_closure(1)) == digest(with_closure(1))
    assert digest(with_closure(1)) != digest(with_closure(2))
    assert digest(with_closure(np.arange(3))) != digest(with_closure(np.arange(4)))
    assert digest(made("def f(x):\n    return x + K", K=1)) != digest(
        made("def f(x):\n    return x + K", K=2)
    )
    assert digest(functools.partial(helper, 1)) != digest(functools.partial(helper, 2))
    assert digest(made("def f(x=1): pass")) != digest(made("def f(x=2): pass"))


def test_an_attribute_is_no_global_of_the_same_name():
    code = "def f(x):\n    return x.K"
    assert digest(made(code, K=1)) == digest(made(code, K=2))


def test_what_is_called_beside_it_counts(monkeypatch):
    before = digest(uses_helper)
    monkeypatch.setitem(globals(), "LEVEL", 2)
    assert digest(uses_helper) != before
    monkeypatch.setitem(globals(), "LEVEL", 1)
    assert digest(uses_helper) == before
    monkeypatch.setitem(globals(), "helper", lambda x: x)
    assert digest(uses_helper) != before


def test_functions_that_call_each_other_end():
    space: dict = {}
    exec("def f(x):\n    return g(x)\ndef g(x):\n    return f(x)", space)
    assert digest(space["f"])


def test_functions_of_packages_count_by_their_names():
    assert digest(np.linalg.norm) != digest(np.linalg.det)
    assert digest(np.add) != digest(np.subtract)
    assert digest(len) != digest(sum)


def test_objects_count_by_what_pickle_would_keep():
    class Held:
        def __init__(self, value):
            self.value = value

        def call(self, x):
            return x + self.value

    assert digest(Held(1).call) != digest(Held(2).call)
    torch = pytest.importorskip("torch")
    weights = made("def f(x):\n    return x @ W", W=torch.ones(3))
    assert digest(weights) != digest(made("def f(x):\n    return x @ W", W=torch.zeros(3)))
    layer = torch.nn.Linear(2, 2)
    before = digest(layer)
    assert digest(layer) == before
    with torch.no_grad():
        layer.weight += 1
    assert digest(layer) != before


def test_what_nobody_can_tell_is_said():
    lock = threading.Lock()

    def locked(x):
        with lock:
            return x

    found, unknown = meaning(locked)
    assert found == ""
    assert unknown == "lock: a lock, whose state cannot be read"
