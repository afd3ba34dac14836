"""How a pipeline is to run."""

from __future__ import annotations

from dataclasses import dataclass

from workbench.execution.executor import Executor


@dataclass(frozen=True, slots=True)
class How:
    """How a pipeline is to run; see `Pipelines.run`."""

    place: Executor
    reuse: str
    echo: bool
    debug: bool
    tags: tuple[str, ...]

    @property
    def executor(self) -> str:
        """The name of the executor."""
        return self.place.name

    @property
    def is_here(self) -> bool:
        """Whether nodes run one after the other, in the thread that conducts."""
        return self.place.name == "kernel"
