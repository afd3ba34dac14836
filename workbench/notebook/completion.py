"""Tab completion on the lines of magics: algorithms, versions, parameters, variables, datasets, runs, entries."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import WorkbenchError

if TYPE_CHECKING:
    from workbench.workspace import Workspace

_LINE = re.compile(
    r"(?:^|.*=)\s*(%{1,2}(?:algo(?:run|batch|form|jobs|deploy|ls|why|replay|lineage|session|diff|export|import|checkout)"
    r"|entr(?:ies|y(?:add|move|remove|promote|versions|lineage|export|verify|name))|modelform|bundle|versions|links|retrain|pipe)\s.*)",
    re.DOTALL,
)
_ID = "workbench"
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
_PIPE_OPTIONS = ("executor", "background", "reuse", "debug", "timeout", "tag", "output")
_OPTIONS = {"algorun": _RUN_OPTIONS, "algobatch": _BATCH_OPTIONS, "pipe": _PIPE_OPTIONS}


def install(shell: Any) -> None:
    """Complete the lines of our magics in a shell."""
    from IPython.core.completer import SimpleCompletion, context_matcher

    @context_matcher(identifier=_ID)  # type: ignore[untyped-decorator]
    def match(context: Any) -> dict[str, Any]:
        word, found = complete(shell, context.text_until_cursor)
        return {
            "completions": [SimpleCompletion(text) for text in found],
            "matched_fragment": word,
            "ordered": True,
            "suppress": bool(found),  # on these lines, names of Python are noise
        }

    remove(shell)
    shell.Completer.custom_matchers.append(match)


def remove(shell: Any) -> None:
    """Stop completing."""
    matchers = shell.Completer.custom_matchers
    matchers[:] = [m for m in matchers if getattr(m, "matcher_identifier", None) != _ID]


def complete(shell: Any, text: str) -> tuple[str, list[str]]:
    """Return the word at the end of a line and what it may become; never raises, for Tab must not."""
    from workbench.workspace import current

    line = _LINE.fullmatch(text)
    if line is None:
        return "", []
    words = line[1].lstrip("%").split(" ")
    word, earlier = words[-1], [w for w in words[1:-1] if w]
    try:
        found = _candidates(current(), words[0], earlier, word, shell.user_ns)
        return word, sorted({c for c in found if c.startswith(word)}, key=lambda c: (c.startswith("-"), c))
    except (WorkbenchError, OSError):
        return word, []


def _candidates(
    workspace: Workspace, magic: str, earlier: list[str], word: str, namespace: dict[str, Any]
) -> Iterable[str]:
    if earlier and (values := _values_of(earlier[-1])):
        return values
    positional = [w for w in earlier if not w.startswith("-")]
    if magic.startswith("entr") or magic == "modelform":
        return _entries(workspace, magic, positional, word)
    if magic == "pipe":
        return _pipes(workspace, positional, word, namespace)
    if magic in ("versions", "links", "retrain"):
        return _versions(workspace, magic, positional, word, namespace)
    if magic == "bundle":
        return _bundles(workspace, positional, word)
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
    if magic in {"algowhy", "algoreplay"}:
        return [] if positional else ["last", *workspace.runs.names()]
    if magic == "algolineage":
        return [] if positional else ["last", *workspace.runs.names(), *workspace.datasets.names(word)]
    if magic == "algodiff":
        return ["last", *workspace.runs.names(), *workspace.algorithms.complete(word)]
    if magic == "algoimport":
        return [*_files(word, ".wbalg"), "--dry-run", "--no-check", "--code"]
    if magic in {"algoexport", "algocheckout"}:
        options = ["--source"] if magic == "algocheckout" else ["--data", "--no-lineage", "--overwrite"]
        return [*(_folders(word) if positional else workspace.algorithms.complete(word)), *options]
    if magic == "algodeploy":
        return [*_folders(word), "--dry-run", "--no-check"]
    if magic == "algols":
        return [
            *workspace.algorithms.names(),
            "--tag",
            "--type",
            "--device",
            "--without-tag",
            "--any-tag",
            "--as-of",
        ]
    if not positional:
        templates = _notebooks(workspace, word) if magic in {"algoform", "algobatch"} else ()
        options = [f"--{option}" for option in _OPTIONS.get(magic, ())]
        return [*workspace.algorithms.complete(word), *_folders(word), *templates, *options]
    return [
        *_arguments_of(workspace, magic, positional[0], positional[1:], word),
        *_inputs(workspace, word, namespace),
    ]


def _entries(workspace: Workspace, magic: str, positional: list[str], word: str) -> Iterable[str]:
    options = {
        "entries": ("kind", "version", "where", "order", "trash", "app", "limit", "browse"),
        "entryadd": ("kind", "version", "extend", "reference", "no-check", "made-by", "dry-run", "app"),
        "entrymove": ("kind", "domain", "version", "folder", "extend", "no-check", "back", "dry-run", "app"),
        "entrypromote": ("kind", "domain", "version", "folder", "extend", "no-check", "app"),
        "entryremove": ("domain", "kind", "version", "where", "restore", "purge", "yes", "force", "app"),
        "entryversions": ("kind", "app"),
        "entrylineage": ("generations", "app"),
    }
    yield from (f"--{option}" for option in options.get(magic, ("app",)))
    if magic == "entryexport" and positional:
        yield from _folders(word)
    elif magic == "entryname" and not positional:
        yield from _values_of("--kind")
    elif magic in ("entrymove", "entrypromote", "entryremove", "entrylineage", "entryexport", "entryverify"):
        yield from (entry.ref for entry in workspace.entries.list(limit=200))
    elif not positional or magic == "entryname":
        yield from workspace.entries.domains()
    elif magic in ("entryadd", "modelform"):
        head, slash, _ = word.rpartition("/")
        base = Path(head or ("/" if slash else ".")).expanduser()
        yield from (f"{head}{slash}{path.name}" for path in (base.iterdir() if base.is_dir() else ()))


def _pipes(
    workspace: Workspace, positional: list[str], word: str, namespace: dict[str, Any]
) -> Iterable[str]:
    from workbench.commands.pipelines import find_pipeline, parameters_of, pipeline_runs, pipelines_in

    if not positional:
        yield from ("list", "show", "run", "runs", "attach", "cancel")
    elif len(positional) == 1 and positional[0] in ("attach", "cancel"):
        yield from ("last", *(run.id for run in pipeline_runs(workspace)))
    elif len(positional) == 1:
        yield from pipelines_in(namespace)
    elif positional[0] == "run":
        taken = {given.partition("=")[0] for given in positional[2:]}
        names = parameters_of(workspace, find_pipeline(positional[1], namespace))
        yield from (f"{name}=" for name in names if name not in taken)
        yield from _inputs(workspace, word, namespace)
        yield from (f"--{option}" for option in _PIPE_OPTIONS)


def _versions(
    workspace: Workspace, magic: str, positional: list[str], word: str, namespace: dict[str, Any]
) -> Iterable[str]:
    if magic == "retrain":
        pipelines = [n for n, v in namespace.items() if hasattr(v, "retrain") and not n.startswith("_")]
        yield from (_inputs(workspace, word, namespace) if positional else pipelines)
        yield from ("--force", "--executor")
        return
    if magic == "links" or not positional:
        yield from workspace.links.steps()
    if magic == "versions" and not positional:
        yield from workspace.algorithms.names()
        yield from (pipeline.name for pipeline in workspace.pipelines.list())


def _bundles(workspace: Workspace, positional: list[str], word: str) -> Iterable[str]:
    from workbench.commands.bundles import ACTIONS

    if not positional:
        yield from ACTIONS
        return
    if len(positional) == 1:
        for bundle in workspace.bundles.list():
            yield bundle.name
            if word.startswith(f"{bundle.name}@"):
                yield from (older.ref for older in workspace.bundles.versions(bundle.name))
    elif positional[0] in ("push", "pull", "diff"):
        yield from _folders(word)
        yield from ("--what", "--prefer", "--delete", "--dry-run", "--include", "--exclude", "--rehash")


def _values_of(option: str) -> Sequence[str]:
    """Return what may follow an option."""
    if option in {"-d", "--device"}:
        return ("auto", "cpu", "gpu", "mps")
    if option in {"-x", "--executor"}:
        from workbench.execution.executor import EXECUTORS

        return EXECUTORS.names()
    if option == "--reuse":
        from workbench.execution.reuse import MODES

        return MODES
    if option == "--kind":
        return ("data", "candidates", "models")
    if option == "--what":
        return ("all", "data", "model")
    if option == "--prefer":
        return ("mine", "theirs")
    if option == "--type":
        from workbench.models import AlgorithmType

        return [kind.value for kind in AlgorithmType]
    return ()


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
    yield from (f"--{option}" for option in _OPTIONS[magic])


def _inputs(workspace: Workspace, word: str, namespace: dict[str, Any]) -> Iterable[str]:
    for name, value in namespace.items():
        if not name.startswith("_") and isinstance(getattr(value, "shape", None), tuple):
            yield name
    yield from workspace.datasets.names(word)


def _notebooks(workspace: Workspace, word: str) -> Iterable[str]:
    """Return the templates of the workspace and the notebooks that continue a path."""
    yield from (info.key for info in workspace.templates.list())
    yield from _files(word, ".ipynb")


def _files(word: str, suffix: str) -> Iterable[str]:
    """Return files with a suffix that continue a path."""
    head, slash, tail = word.rpartition("/")
    base = Path(head or ("/" if slash else ".")).expanduser()
    if base.is_dir():
        yield from (f"{head}{slash}{path.name}" for path in base.glob(f"{tail}*{suffix}"))


def _folders(word: str) -> Iterable[str]:
    """Return folders that continue a path."""
    head, _, tail = word.rpartition("/")
    base = Path(head or (("/") if word.startswith("/") else ".")).expanduser()
    if not base.is_dir():
        return
    for entry in base.iterdir():
        if entry.name.startswith(tail) and not entry.name.startswith(".") and entry.is_dir():
            yield f"{head}/{entry.name}/" if head or word.startswith("/") else f"{entry.name}/"
