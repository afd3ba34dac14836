"""Many runs: notebooks as templates with typed parameters, what they record, and the report over all of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.batch.template import Template as Template
    from workbench.batch.template import load_template as load_template
    from workbench.batch.templates import Templates as Templates

__all__ = ["Template", "Templates", "load_template"]


def __getattr__(name: str) -> Any:
    # on first use: papermill imports this package for its entry points, and every cell that records does
    if name in {"Template", "load_template"}:
        from workbench.batch import template

        return getattr(template, name)
    if name == "Templates":
        from workbench.batch.templates import Templates

        return Templates
    raise AttributeError(f"module 'workbench.batch' has no attribute {name!r}")
