"""The papermill engine ``workbench``: ``papermill --engine workbench in.ipynb out.ipynb``.

It runs the cells in a fresh forked child instead of a kernel. What needs a kernel is given to papermill's own engine.
"""

from __future__ import annotations

import copy
import json
import os
import time
from typing import TYPE_CHECKING, Any

from papermill.engines import Engine, NBClientEngine
from papermill.log import logger
from papermill.translators import translate_parameters

from workbench.errors import UnsupportedError

if TYPE_CHECKING:
    from nbformat import NotebookNode
    from papermill.engines import NotebookExecutionManager

    from workbench.batch.children import Child
    from workbench.execution.wire import Message

#: A cell that outlives its time limit and every interrupt is given up so long after it.
_GIVE_UP_S = 5.0


class WorkbenchEngine(Engine):  # type: ignore[misc]
    """Executes notebooks in fresh forked children."""

    @classmethod
    def execute_notebook(cls, nb: NotebookNode, kernel_name: str, *arguments: Any, **options: Any) -> Any:
        """Execute a notebook after its parameters have been checked.

        Raises
        ------
        InvalidParameterError
            If a parameter is unknown, missing or wrong; ``problems`` has each. Nothing was started or written.
        InvalidTemplateError
            If the parameters are declared wrong.
        UnsupportedError
            If the kernel is not installed.
        """
        checked = with_checked_parameters(nb, kernel_name)
        return super().execute_notebook(checked, kernel_name, *arguments, **options)

    @classmethod
    def execute_managed_notebook(
        cls,
        nb_man: NotebookExecutionManager,
        kernel_name: str,
        log_output: bool = False,
        stdout_file: Any = None,
        stderr_file: Any = None,
        start_timeout: float = 60,
        execution_timeout: float | None = None,
        **kwargs: Any,
    ) -> None:
        """Execute the notebook of a manager.

        Parameters
        ----------
        nb_man : NotebookExecutionManager
            Is told each cell; it saves the notebook and shows progress.
        kernel_name : str
        log_output, stdout_file, stderr_file
            Where outputs go as they come.
        execution_timeout : float, optional
            Seconds for each cell.
        **kwargs
            For papermill's own engine, where that must run the notebook.
        """
        from workbench.batch.kernels import why_other_kernel

        limit = execution_timeout or kwargs.get("timeout")
        why = why_other_kernel(nb_man.nb, kernel_name)
        if not why and not hasattr(os, "fork"):
            why = "this system does not fork"
        if not why:
            logger.info("Executing notebook in a forked process")
            why = _Execution(nb_man, log_output, stdout_file, stderr_file).run(limit)
        if why:
            logger.warning(f"A kernel executes this notebook from the beginning, because {why}.")
            _begin_again(nb_man)
            NBClientEngine.execute_managed_notebook(
                nb_man,
                kernel_name,
                log_output=log_output,
                stdout_file=stdout_file,
                stderr_file=stderr_file,
                start_timeout=start_timeout,
                execution_timeout=execution_timeout,
                **kwargs,
            )


def with_checked_parameters(notebook: NotebookNode, kernel_name: str) -> NotebookNode:
    """Refuse wrong parameters of a notebook into which papermill has put some, and set them as a sweep sets them.

    papermill's cell stays where any value would do, or where someone has edited it. Otherwise it gets the source that a sweep
    injects: checked values, the defaults, members of enums, the instance of a model. Without values there is such a cell only
    where the defaults are a model's or an algorithm's, and not set by the parameters cell.

    A notebook without a cell tagged ``parameters`` declares none, unless its metadata name an algorithm; so any are taken.

    Raises
    ------
    InvalidParameterError
        ``problems`` names each parameter.
    InvalidTemplateError
        If they are declared wrong.
    UnsupportedError
        If the kernel is not installed.
    """
    from workbench.batch.kernels import missing_kernel

    source = str(notebook.metadata.get("papermill", {}).get("input_path") or "this notebook")
    if missing := missing_kernel(kernel_name, source):
        raise UnsupportedError(missing)
    tags = {tag for cell in notebook.cells for tag in cell.metadata.get("tags", [])}
    if "parameters" not in tags and not notebook.metadata.get("workbench", {}).get("algorithm"):
        return notebook
    from workbench.batch.surroundings import current
    from workbench.batch.template import INJECTED, tagged, template_of

    declared = copy.deepcopy(notebook)
    declared.cells = [cell for cell in declared.cells if INJECTED not in cell.metadata.get("tags", [])]
    if "kernelspec" in declared.metadata:  # papermill's may be another one
        declared.metadata.kernelspec.name = kernel_name
    template = template_of(declared, source, algorithms=lambda: current().algorithms)
    if template.cell.is_unread:
        logger.warning("; ".join(template.warnings))
    values = notebook.metadata.get("papermill", {}).get("parameters", {})
    checked = template.check(values)
    at = tagged(notebook, INJECTED)
    if template.is_plain or (at is None and template.sets_defaults):
        return notebook
    if at is None:
        return _with_cell(notebook, template.injected_source(checked))
    if notebook.cells[at].source == translate_parameters(
        kernel_name, template.language, values, "Parameters"
    ):
        notebook.cells[at].source = template.injected_source(checked)
    return notebook


def _with_cell(notebook: NotebookNode, source: str) -> NotebookNode:
    """Return a notebook with a cell where papermill would inject one."""
    from nbformat import v4

    from workbench.batch.template import INJECTED, PARAMETERS, tagged

    notebook = v4.upgrade(notebook) or notebook
    cell = v4.new_code_cell(source=source, metadata={"tags": [INJECTED]})
    codes = [each for each in notebook.cells if each.cell_type == "code"]
    if codes and all(each.metadata.get("jupyter", {}).get("source_hidden") for each in codes):  # a report
        cell.metadata["jupyter"] = {"source_hidden": True}
    declared = tagged(notebook, PARAMETERS)
    notebook.cells.insert(0 if declared is None else declared + 1, cell)
    return notebook


class _Execution:
    """One notebook, executed by a child, told to papermill's manager."""

    def __init__(
        self, nb_man: NotebookExecutionManager, log_output: bool, stdout_file: Any, stderr_file: Any
    ) -> None:
        self._man = nb_man
        self._cells = nb_man.nb.cells
        self._log_output = log_output
        self._files = {"stdout": stdout_file, "stderr": stderr_file}
        self._index = -1
        self._is_open = False  # the cell has begun and not ended

    def run(self, cell_timeout_s: float | None) -> str:
        """Execute it; return why a kernel must, or an empty string."""
        from workbench.batch.children import fresh_child
        from workbench.settings import environment_here

        order = {
            "environment": environment_here(),
            "cwd": _here(),
            "cell_timeout_s": cell_timeout_s,
            "merge_streams": False,  # as papermill's own engine keeps them
            "tell_outputs": True,
        }
        child = fresh_child(order, json.dumps(self._man.nb).encode())
        try:
            return self._follow(child, cell_timeout_s)
        except KeyboardInterrupt:
            self._fail("KeyboardInterrupt", "The notebook was interrupted; its process has ended.")
            raise
        finally:
            child.close()

    def _follow(self, child: Child, cell_timeout_s: float | None) -> str:
        from workbench.batch.cells import GRACE_S

        patience = None if cell_timeout_s is None else cell_timeout_s + GRACE_S + _GIVE_UP_S
        last = time.monotonic()
        try:
            for event in child.events(patience):
                if event["event"] == "end":
                    return self._end(event)
                self._take(event)
                last = time.monotonic()
        except TimeoutError:
            self._fail(
                "CellTimeoutError",
                f"Cell {self._index + 1} went on for {time.monotonic() - last:.3g} s and could not be interrupted, so its "
                "process was ended. Allow it more time, or give it less to do.",
            )
            return ""
        self._fail(
            "DeadKernelError",
            f"The process of this notebook {child.why_ended()} while it ran cell {self._index + 1}. "
            "The cells before it are in this notebook with their outputs.",
        )
        return ""

    def _take(self, event: Message) -> None:
        kind = event["event"]
        if kind == "begin":
            self._index = event["index"]
            self._is_open = True
            self._man.cell_start(self._cells[self._index], self._index)
        elif kind == "output":
            import nbformat

            output = nbformat.from_dict(event["output"])
            self._cells[event["index"]].outputs.append(output)
            self._man.autosave_cell()
            self._log(output)
        elif kind == "cell":
            self._fill(event["cells"])
            if not self._fails():
                self._close()
        elif kind == "refused":
            from workbench.errors import InvalidInputError

            raise InvalidInputError(f"This notebook has not begun: {event['why']}. Name another folder.")
        elif kind == "broken":
            from workbench.errors import WorkbenchError

            raise WorkbenchError(
                f"The engine has failed at cell {self._index + 1}, and not the notebook. Use papermill's own engine, and report "
                f"this:\n{event['why']}"
            )

    def _fill(self, told: dict[str, Any]) -> None:
        import nbformat

        for index, said in told.items():
            if said:
                cell = self._cells[int(index)]
                execution = said.pop("execution")
                cell.update(nbformat.from_dict(said))
                if execution is not None:
                    cell.metadata["execution"] = nbformat.from_dict(execution)

    def _fails(self) -> bool:
        cell = self._cells[self._index]
        raised = any(output.output_type == "error" for output in cell.get("outputs", []))
        return raised and "raises-exception" not in cell.metadata.get("tags", [])

    def _end(self, event: Message) -> str:
        import nbformat

        if event["needs_kernel"]:
            return str(event["needs_kernel"])
        executed = nbformat.from_dict(json.loads(event["body"]))
        if event["error"] is not None:
            cell = executed.cells[self._index]
            cell.metadata.papermill = self._cells[self._index].metadata.papermill
            self._cells[self._index] = cell
            self._man.cell_exception(cell, cell_index=self._index)
        self._close()
        self._man.nb.metadata["language_info"] = executed.metadata.language_info
        return ""

    def _fail(self, name: str, text: str) -> None:
        from workbench.batch.cells import CellError, add_error

        index = max(self._index, 0)
        cell = self._cells[index]
        if cell.cell_type == "code":
            if cell.execution_count is None:  # papermill names the cell by it
                counts = [each.get("execution_count") or 0 for each in self._cells[:index]]
                cell.execution_count = max(counts, default=0) + 1
            add_error(cell, CellError(index, "error", name, text))
        self._man.cell_exception(cell, cell_index=index)
        self._close()

    def _close(self) -> None:
        if self._is_open:
            self._is_open = False
            self._man.cell_complete(self._cells[self._index], cell_index=self._index)

    def _log(self, output: NotebookNode) -> None:
        """Show an output as papermill's own engine does."""
        if output.output_type == "stream":
            if self._log_output:
                (logger.info if output.name == "stdout" else logger.warning)(output.text)
            file = self._files[output.name]
            if file is not None:
                file.write(output.text)
                file.flush()
        elif self._log_output and "text/plain" in output.get("data", {}):
            logger.info("".join(output.data["text/plain"]))


def _begin_again(nb_man: NotebookExecutionManager) -> None:
    """Put a notebook back to before its first cell."""
    if nb_man.pbar:
        nb_man.pbar.reset()
    nb_man.notebook_start()


def _here() -> str:
    from pathlib import Path

    return str(Path.cwd())
