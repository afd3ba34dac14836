"""Tab completion on the lines of magics: algorithms, versions, parameters, variables, datasets, runs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import WorkbenchError

if TYPE_CHECKING:
    from workbench.workspace import Workspace

_KEYS = (
    "%algorun",
    "%%algorun",
    "%algobatch",
    "%%algobatch",
    "%algoform",
    "%algojobs",
    "%algodeploy",
    "%algols",
    "%algowhy",
    "%algosession",
)
_RUN_OPTIONS = (
    "debug",
    "device",
    "session",
    "executor",
    "background",
    "priority",
    "output",
    "timeout",
    "retries",
    "reuse",
)
_BATCH_OPTIONS = (
    "jobs",
    "zip",
    "table",
    "sample",
    "seed",
    "resume",
    "attach",
    "cancel",
    "fail-fast",
    "timeout",
    "retries",
    "reuse",
    "executor",
    "device",
    "name",
    "priority",
    "background",
    "output",
)


def install(shell: Any) -> None:
    """Complete the lines of our magics in a shell."""
    for key in _KEYS:
        shell.set_hook("complete_command", complete, str_key=key)


def remove(shell: Any) -> None:
    """Stop completing."""
    hooks = shell.strdispatchers.get("complete_command")
    for key in _KEYS:
        if hooks is not None:
            hooks.strs.pop(key, None)


def complete(shell: Any, event: Any) -> list[str]:
    """Return completions for the word at the cursor; never raises, for Tab must not."""
    from workbench.workspace import current

    line = event.line.lstrip().lstrip("%")
    words = line.split(" ")
    word = words[-1] if len(words) > 1 else ""
    earlier = [w for w in words[1:-1] if w]
    try:
        found = _candidates(current(), words[0], earlier, word, shell.user_ns)
        matches = sorted({c for c in found if c.startswith(word)}, key=lambda c: (c.startswith("-"), c))
    except (WorkbenchError, OSError):
        return []
    # the completer cuts words at @ and =, and replaces only what stands behind
    cut = len(word) - len(event.symbol) if word.endswith(event.symbol) else 0
    return [m[cut:] for m in matches]


def _candidates(
    workspace: Workspace, magic: str, earlier: list[str], word: str, namespace: dict[str, Any]
) -> Iterable[str]:
    positional = [w for w in earlier if not w.startswith("-")]
    if magic == "algojobs":
        return (
            ["show", "log", "cancel", "attach", "resume"] if positional else ["last", *workspace.runs.names()]
        )
    if magic == "algosession":
        return ["--clear", "--drop", "--view"] if positional else workspace.sessions.names()
    if magic == "algorun" and earlier and earlier[-1] in ("-s", "--session"):
        return workspace.sessions.names()
    if magic == "algobatch" and earlier and earlier[-1] in ("--resume", "--attach", "--cancel"):
        return ["last", *workspace.sweeps.names()]
    if magic == "algowhy":
        return [] if positional else ["last", *workspace.runs.names()]
    if magic == "algodeploy":
        return [*_folders(word), "--dry-run", "--no-check"]
    if magic == "algols":
        return [*workspace.algorithms.names(), "--tag", "--type", "--device", "--without-tag", "--any-tag"]
    if not positional:
        templates = _notebooks(workspace, word) if magic in {"algoform", "algobatch"} else ()
        return [*workspace.algorithms.complete(word), *_folders(word), *templates]
    return [
        *_arguments_of(workspace, magic, positional[0], positional[1:], word),
        *_inputs(workspace, word, namespace),
    ]


def _arguments_of(workspace: Workspace, magic: str, ref: str, given: list[str], word: str) -> Iterable[str]:
    if magic == "algorun":
        from workbench.algorithms.runnable import resolve

        parameters = resolve(workspace.algorithms, ref).parameters
    elif magic == "algobatch":
        parameters = workspace.sweeps.target(ref).parameters
    else:
        return
    taken = {w.partition("=")[0] for w in given}
    for spec in parameters.specs:
        if spec.name not in taken:
            yield f"{spec.name}="
            values = spec.options or ((True, False) if spec.type == "bool" else ())
            if word.startswith(f"{spec.name}="):
                yield from (f"{spec.name}={v}" for v in values)
    options = _RUN_OPTIONS if magic == "algorun" else _BATCH_OPTIONS
    yield from (f"--{option}" for option in options)


def _inputs(workspace: Workspace, word: str, namespace: dict[str, Any]) -> Iterable[str]:
    for name, value in namespace.items():
        if not name.startswith("_") and hasattr(value, "shape") and hasattr(value, "dtype"):
            yield name
    yield from workspace.datasets.names(word)


def _notebooks(workspace: Workspace, word: str) -> Iterable[str]:
    """Return the templates of the workspace and the notebooks that continue a path."""
    yield from (info.key for info in workspace.templates.list())
    head, slash, tail = word.rpartition("/")
    base = Path(head or ("/" if slash else ".")).expanduser()
    if base.is_dir():
        yield from (f"{head}{slash}{path.name}" for path in base.glob(f"{tail}*.ipynb"))


def _folders(word: str) -> Iterable[str]:
    """Return folders that continue a path."""
    head, _, tail = word.rpartition("/")
    base = Path(head or (("/") if word.startswith("/") else ".")).expanduser()
    if not base.is_dir():
        return
    for entry in base.iterdir():
        if entry.name.startswith(tail) and not entry.name.startswith(".") and entry.is_dir():
            yield f"{head}/{entry.name}/" if head or word.startswith("/") else f"{entry.name}/"
