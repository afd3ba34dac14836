"""What can be told of an algorithm's code without running it: syntax, and exactly one Runner class."""

from __future__ import annotations

import ast
from collections.abc import Mapping

from workbench.algorithms.declarations import Findings
from workbench.algorithms.manifest import CLASS, RUNNER, Manifest
from workbench.errors import nearest


def check_source(code: Mapping[str, bytes], manifest: Manifest, findings: Findings) -> None:
    """Check syntax and Runner class of the code without running it.

    Parameters
    ----------
    code : mapping
        Path in the folder to source.
    manifest : Manifest
        Says where the Runner is.
    findings : Findings
        Takes problems, each with file and line, and warnings.
    """
    trees = {
        path: tree for path in code if (tree := _parse(path, code[path], manifest, findings)) is not None
    }
    if manifest.runner not in code:
        findings.problem(_missing_runner(trees, manifest))
        return
    tree = trees.get(manifest.runner)
    if tree is not None:
        _check_class(tree, manifest, findings)
    if not manifest.runner_is_named:
        _check_single(trees, manifest, findings)


def mentions_compox(code: Mapping[str, bytes]) -> bool:
    """Tell whether the code imports the names of Compox, so that a folder without any table counts as written for it."""
    for path, source in code.items():
        tree = _parse(path, source, None, Findings())
        for node in ast.walk(tree) if tree is not None else ():
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            if any(name.split(".")[0] in {"compox", "algorithm_utils"} for name in names):
                return True
    return False


def _parse(path: str, source: bytes, manifest: Manifest | None, findings: Findings) -> ast.Module | None:
    import warnings

    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # invalid escape sequences are the author's to see, not the deployer's
            return ast.parse(source, filename=path)
    except SyntaxError as error:
        line = (error.text or "").strip()
        text = f"{path}:{error.lineno or 1}: {error.msg}" + (f": {line[:80]}" if line else "")
    except (ValueError, RecursionError, MemoryError) as error:
        text = f"{path}: {error}"
    if manifest is not None and path == manifest.runner:
        findings.problem(f"Syntax error in {text}. Mend that line.")
    else:
        findings.warn(f"Syntax error in {text}. It matters when that file is imported.")
    return None


def _missing_runner(trees: Mapping[str, ast.Module], manifest: Manifest) -> str:
    elsewhere = sorted(path for path, tree in trees.items() if manifest.runner_class in _bound(tree))
    if manifest.runner_is_named:
        near = nearest(manifest.runner, trees, n=1) or elsewhere[:1]
        hint = f' Write runner = "{near[0]}".' if near else " Give the path of the Python file in the folder."
        return f"runner names {manifest.runner!r}, and there is no such Python file in the folder.{hint}"
    if elsewhere:
        return (
            f"There is no {RUNNER} in the folder, but a class {CLASS} in {', '.join(elsewhere[:3])}. "
            f'Write runner = "{elsewhere[0]}" under [tool.workbench].'
        )
    return (
        f"There is no {RUNNER} in the folder. Add it with a class {CLASS}:\n"
        "from workbench.runners import Image2ImageRunner\n\n"
        f"class {CLASS}(Image2ImageRunner):\n    def inference(self, data, args):\n        return data"
    )


def _check_class(tree: ast.Module, manifest: Manifest, findings: Findings) -> None:
    name, path = manifest.runner_class, manifest.runner
    lines = [n.lineno for n in tree.body if isinstance(n, ast.ClassDef) and n.name == name]
    if len(lines) > 1:
        where = ", ".join(f"{path}:{line}" for line in lines)
        findings.problem(f"There are {len(lines)} classes {name} ({where}). Keep one.")
    elif name not in _bound(tree):
        classes = [n.name for n in tree.body if isinstance(n, ast.ClassDef)]
        near = nearest(name, classes, n=1) or [c for c in classes if "Runner" in c][:1]
        hint = f'; found {near[0]}: rename it, or write runner = "{path}:{near[0]}"' if near else ""
        findings.problem(f"{path} has no class {name}{hint or f'. Add class {name}(BaseRunner) to it'}.")


def _check_single(trees: Mapping[str, ast.Module], manifest: Manifest, findings: Findings) -> None:
    others = [
        path
        for path, tree in sorted(trees.items())
        if path != RUNNER
        and path.rpartition("/")[2].casefold() == RUNNER.casefold()
        and any(isinstance(n, ast.ClassDef) and n.name == CLASS for n in tree.body)
    ]
    if not others:
        return
    text = f"There are several Runners: {', '.join([RUNNER, *others])}."
    if manifest.compox:
        findings.warn(f"{text} {RUNNER} is taken.")
    else:
        findings.problem(
            f'{text} Say which one: runner = "{RUNNER}" under [tool.workbench], or remove the others.'
        )


def _bound(tree: ast.Module) -> set[str]:
    """Return the names a module may bind at import, also in ``if`` and ``try``; ``*`` may bind any."""
    names: set[str] = set()
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            names.add(node.name)
            continue
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names.update((alias.asname or alias.name).split(".")[0] for alias in node.names)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        waiting.extend(ast.iter_child_nodes(node))
    return names
