"""``%%algorithm``: the Runner class in a cell becomes a deployed algorithm."""

from __future__ import annotations

import ast
import inspect
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.errors import InvalidAlgorithmError
from workbench.names import check_name

if TYPE_CHECKING:
    from workbench.algorithms import Algorithm
    from workbench.workspace import Workspace


def deploy_cell(
    workspace: Workspace,
    ref: str,
    code: str,
    *,
    type: str | None = None,
    tags: Sequence[str] = (),
    check: bool = True,
) -> Algorithm:
    """Deploy code as the Runner of an algorithm.

    Parameters
    ----------
    workspace : Workspace
    ref : str
        ``name@major.minor``.
    code : str
        Defines ``class Runner`` and imports what it needs; what other cells define is not there when it runs.
    type : str, optional
        Algorithm type; default: from the Runner's base class.
    tags : sequence of str
    check : bool
        Import it in a clean process first.

    Raises
    ------
    InvalidAlgorithmError
        For a syntax error, a missing version or a missing Runner.
    """
    from workbench.algorithms.refs import parse_ref

    name, separator, version = ref.partition("@")
    check_name(name, "Algorithm name")
    if not separator or parse_ref(ref).version is None:
        raise InvalidAlgorithmError(
            f"{ref!r} names no version, which is major.minor in numbers. Write %%algorithm {name}@1.0."
        )
    with tempfile.TemporaryDirectory(prefix="workbench-cell-") as folder:
        lines = [
            "[project]",
            f"name = {json.dumps(name)}",
            f"version = {json.dumps(version)}",
            "",
            "[tool.workbench]",
        ]
        if type is not None:
            lines.append(f"algorithm_type = {json.dumps(type)}")
        lines += [f"tags = {json.dumps(list(tags))}", f"description = {json.dumps(_description(code))}"]
        (Path(folder) / "pyproject.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")
        (Path(folder) / "Runner.py").write_text(code, encoding="utf-8")
        try:
            return workspace.algorithms.deploy(folder, check=check)
        except InvalidAlgorithmError as error:
            said = (
                str(error).replace(f"{Path(folder).resolve()} ", "The cell ").replace("Runner.py:", "line ")
            )
            raise InvalidAlgorithmError(said, problems=error.problems) from error


def _description(code: str) -> str:
    """Return the first line of the Runner's docstring."""
    try:
        tree = ast.parse(code)
    except SyntaxError as error:
        line = (error.text or "").rstrip()
        raise InvalidAlgorithmError(
            f"The cell has a syntax error in line {error.lineno}: {error.msg}\n{line}"
        ) from error
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == "Runner":
            return inspect.cleandoc(ast.get_docstring(node) or "").split("\n")[0]
    raise InvalidAlgorithmError(
        "The cell defines no class named Runner. Begin with: class Runner(Image2ImageRunner):"
    )
