"""The code of functions and steps in the store, ``code/<digest>.py``: kept when they run, executed only by an explicit replay.

Text, not pickles: it can be read, does not depend on the version of Python, and is checked against the digest that names it.
"""

from __future__ import annotations

import importlib.util
import linecache
import sys
import threading
import types
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from workbench.errors import DamagedError, NotFoundError, UnsupportedError
from workbench.pipelines.meaning import held_in_modules
from workbench.pipelines.own_code import NoSourceError, file_digest
from workbench.pipelines.plan import held_by
from workbench.pipelines.source_text import NEEDS, RESULT, source_text
from workbench.pipelines.values import is_plain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workbench.pipelines.plan import Code, Plan
    from workbench.storage.store import Store

CODE = "code"
HOLDS = "# holds "  # what a module of the user's held when the code ran, and the beginning of its digest
_TOLD = 4  # hexadecimal digits: they tell others apart, and nobody can find out by trying what was held
_MOST_KNOWN = 1024

_lock = threading.Lock()
_known: dict[str, tuple[bytes, str]] = {}  # what code means -> its text, or why there is none
_stored: WeakKeyDictionary[Store, set[str]] = WeakKeyDictionary()  # digests of texts that lie in a store


def name_code(plan: Plan) -> dict[str, bytes]:
    """Name the code of the functions and steps of a plan in it, or why there is none; return the texts by their digests."""
    texts: dict[str, bytes] = {}
    for step in plan.calls:
        code = plan.code[step.path]
        text, why = _text_of(step.node.what, step.node.kind == "step", code)
        digest = _digest(text) if text else ""
        plan.code[step.path] = replace(code, kept=digest, why_not_kept=why)
        if digest:
            texts[digest] = text
    return texts


def keep_code(texts: Mapping[str, bytes], store: Store) -> None:
    """Store the texts of code that are not there yet."""
    there = _stored.setdefault(store, set())
    new = [digest for digest in texts if digest not in there]
    for digest, is_there in zip(new, store.exist(CODE, [f"{d}.py" for d in new]), strict=True) if new else ():
        if not is_there:
            store.put(CODE, f"{digest}.py", texts[digest])
        there.add(digest)


def _text_of(what: Any, is_step: bool, code: Code) -> tuple[bytes, str]:
    """Return the text that code is made of again, or nothing and why there is none."""
    for name, value in code.parameters.items():
        if not is_plain(value):
            return b"", f"its parameter {name!r} is a {type(value).__name__}, which is kept nowhere"
    if not code.digest:
        return b"", f"nobody can tell what it depends on ({code.unknown})"
    with _lock:
        if code.digest in _known:  # what means the same has the same text, but for names
            return _known[code.digest]
    found: tuple[bytes, str]
    try:
        text = source_text(what, held_by(what) if is_step else None)
        found = (_held(type(what) if is_step else what) + text).encode(), ""
    except NoSourceError as error:
        found = b"", str(error)
    except Exception as error:  # whatever objects do that are asked for what they are
        found = b"", f"its source is not to be had ({type(error).__name__}: {error})"
    with _lock:
        while len(_known) >= _MOST_KNOWN:
            _known.pop(next(iter(_known)))
        _known[code.digest] = found
    return found


def _held(what: Any) -> str:
    return "".join(f"{HOLDS}{place} {digest[:_TOLD]}\n" for place, digest in held_in_modules(what).items())


def held_otherwise(digest: str, what: Any, store: Store) -> list[str]:
    """Return, in a sentence, which data that code names in modules are not here what they were when it ran: a notebook had changed them."""
    content = store.get_many(CODE, [f"{digest}.py"])[0] if digest else None
    lines = [line for line in (content or b"").decode().splitlines() if line.startswith(HOLDS)]
    now = held_in_modules(type(what) if hasattr(what, "execute") else what) if lines else {}
    differ = [
        place for line in lines for place, was in [line.split()[2:]] if now.get(place, "")[:_TOLD] != was
    ]
    if not differ:
        return []
    return [f"Modules hold other data than when it ran, which is kept nowhere: {', '.join(differ)}."]


def load_code(digest: str, store: Store) -> Any:
    """Execute what was kept of a function or step, and return it.

    Raises
    ------
    NotFoundError, DamagedError, UnsupportedError
        If it is gone or not what was kept, or if a module that it imports is gone or has changed.
    """
    content = store.get_many(CODE, [f"{digest}.py"])[0]
    if content is None:
        raise NotFoundError(f"its code, {CODE}/{digest}.py, is gone from the store")
    if _digest(content) != digest:
        raise DamagedError(f"its code, {CODE}/{digest}.py, is not what was kept")
    text = content.decode()
    for line in text.splitlines():
        if line.startswith(NEEDS):
            _check_module(*line.removeprefix(NEEDS).split())
    name, file = f"workbench_kept_{digest[:16]}", f"<code/{digest}.py>"
    module = types.ModuleType(name)
    # tracebacks show it, and what is asked for the source of a function finds it
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    sys.modules[name] = module  # dataclasses look there for their module
    try:
        exec(compile(text, file, "exec", dont_inherit=True), vars(module))
    except Exception as error:
        raise UnsupportedError(
            f"its kept code cannot be executed here ({type(error).__name__}: {error})"
        ) from error
    return vars(module)[RESULT]


def _check_module(name: str, digest: str) -> None:
    try:
        # one that has changed is not even imported
        spec = None if name in sys.modules else importlib.util.find_spec(name)
        file = sys.modules[name].__file__ if name in sys.modules else None if spec is None else spec.origin
        found = file_digest(name, str(file))
    except Exception as error:  # whatever its package does
        raise NotFoundError(f"its code names module {name!r}, which is not here ({error})") from error
    if found != digest:
        raise UnsupportedError(f"its code names module {name!r}, which has changed since")


def _digest(content: bytes) -> str:
    from blake3 import blake3

    return str(blake3(content).hexdigest()[:40])
