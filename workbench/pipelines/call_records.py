"""The records of calls: what one says before it begins, and which earlier one may stand for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from workbench.execution.reuse import digest_of, key_of
from workbench.execution.seeds import new_seed
from workbench.models import RunRecord, now
from workbench.names import new_id
from workbench.pipelines.call import argument_refs, restore, trains, version_of_step
from workbench.pipelines.graph import Step
from workbench.pipelines.how import How
from workbench.pipelines.plan import Code, Plan
from workbench.pipelines.values import Value, is_plain
from workbench.process_identity import this_process

if TYPE_CHECKING:
    from workbench.catalog import Catalog
    from workbench.library.datasets import Datasets


class CallRecords:
    """Makes and finds the records of calls of one run of a pipeline.

    Parameters
    ----------
    plan : Plan
    how : How
    pipeline_run : str
        The id of the run.
    catalog : Catalog
    datasets : Datasets
    """

    def __init__(self, plan: Plan, how: How, pipeline_run: str, catalog: Catalog, datasets: Datasets) -> None:
        self._plan = plan
        self._how = how
        self._pipeline_run = pipeline_run
        self._catalog = catalog
        self._datasets = datasets

    def new(self, step: Step, arguments: Sequence[Value], parents: tuple[str, ...]) -> RunRecord:
        """Return the record of a call that is about to begin."""
        code = self._plan.code[step.path]
        pid, pid_started, host, user = this_process()
        parts = call_parts(self._plan.code[step.path], arguments)
        return RunRecord(
            id=new_id(),
            algorithm=step.node.label,
            algorithm_name=step.node.label,
            content=code.digest,
            code=code.kept,
            no_code=code.why_not_kept,
            call=step.node.kind,
            function=importable(step.node.what) if all(map(is_plain, code.parameters.values())) else "",
            inputs=parents,
            arguments=argument_refs(arguments),
            sources=_sources(step, arguments),
            version=_version(step),
            parameters={k: v if is_plain(v) else _shown(v) for k, v in code.parameters.items()},
            executor=self._how.executor,
            reuse=self._how.reuse,
            reuse_key=key_of(parts) if parts and not self._how.debug else "",
            reuse_parts=parts,
            debug=self._how.debug,
            warnings=() if parts else (self._why_always(step, arguments),),
            seed=new_seed() if code.replays is None or code.replays.seed is None else code.replays.seed,
            replays=None if code.replays is None else code.replays.id,
            timeout_s=step.node.options.get("timeout_s"),
            retries=step.node.options.get("retries", 0),
            retryable=step.node.options.get("retryable", True),
            priority=step.node.options.get("priority", 0),
            tags=self._how.tags,
            pipeline=self._pipeline_run,
            node=step.path,
            pid=pid,
            pid_started=pid_started,
            host=host,
            user=user,
            created=now(),
        )

    def _why_always(self, step: Step, arguments: Sequence[Value]) -> str:
        """Return what it is that nobody can tell, so that the step is computed each time."""
        code = self._plan.code[step.path]
        if code.unknown:
            return f"It is computed each time, for nobody can tell what it depends on: {code.unknown}."
        for value, port in zip(arguments, step.sources, strict=True):
            if not value.digest:
                what = next((ref.held for ref in value.refs if ref.held), "object")
                return f"It is computed each time, for what it reads as {port.name!r} is a {what}, which is not kept."
        return "It is computed each time, for one of its parameters cannot be told apart from another."

    def find(self, step: Step, parts: dict[str, str], *, also_held: bool = False) -> RunRecord | None:
        """Return the newest completed run of that key whose outputs can all be had; with ``also_held`` also one that gave objects."""
        if not parts:
            return None
        for record in self._catalog.runs_with_key(key_of(parts)):
            ids = [ref.dataset for ref in record.outputs if ref.dataset]
            is_held = any(ref.held for ref in record.outputs)
            if (is_held and (not also_held or trains(step.node.what))) or not self._datasets.are_whole(ids):
                continue
            if not trains(step.node.what) or restore(step.node.what, record, self._datasets):
                return record
        return None


def call_parts(code: Code, arguments: Sequence[Value]) -> dict[str, str]:
    """Return what the result of a call depends on; empty where nobody can tell."""
    if not (code.digest and code.parameters_digest and all(value.digest for value in arguments)):
        return {}
    return {
        "code": code.digest,
        "parameters": code.parameters_digest,
        "inputs": digest_of([value.digest for value in arguments]),
    }


def _sources(step: Step, arguments: Sequence[Value]) -> tuple[str, ...]:
    """Return the runs that a call depends on and that the datasets it reads do not lead to."""
    runs = [value.run for value in arguments if value.run and not value.gives_away_its_run]
    if not trains(step.node.what):
        runs.append(getattr(step.node.what, "trained_by", ""))
    return tuple(dict.fromkeys(filter(None, runs)))


def _version(step: Step) -> str:
    """Return the version of a step with the state that it has; what trains has one at its end."""
    if step.node.kind != "step" or trains(step.node.what):
        return ""
    return getattr(step.node.what, "kept_as", "") or version_of_step(step.node.what)


def importable(what: Any) -> str:
    """Return where a function can be found again, ``module:name``; empty for a lambda and one inside another one."""
    module, name = getattr(what, "__module__", None), getattr(what, "__qualname__", "")
    return f"{module}:{name}" if module and "<" not in name and name.isidentifier() else ""


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:199]}…"
