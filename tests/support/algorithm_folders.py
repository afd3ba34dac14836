"""Algorithm folders for tests, written from a few lines."""

from __future__ import annotations

import textwrap
from pathlib import Path

INVERT = """
    from workbench.runners import Image2ImageRunner

    class Runner(Image2ImageRunner):
        def inference(self, data, args={}):
            self.log_message("inverting")
            out = data.max() - data
            self.set_progress(1.0)
            return out * args.get("gain", 1.0)
"""

NOOP = """
    from workbench.runners import BaseRunner

    class Runner(BaseRunner):
        def preprocess(self, input_data, args={}):
            return None

        def inference(self, data, args={}):
            return None

        def postprocess(self, data, args={}):
            return []
"""

GENERIC = """
    from workbench.runners import BaseRunner
    from workbench.schemas import GenericSchema

    class Runner(BaseRunner):
        def preprocess(self, input_data, args={}):
            return self.fetch_data(input_data["input_dataset_ids"], GenericSchema)

        def inference(self, data, args={}):
            BODY

        def postprocess(self, data, args={}):
            return self.post_data([{"data": d} for d in data], GenericSchema)
"""

GAIN = """
    [[tool.workbench.additional_parameters]]
    name = "gain"
    description = "Factor on the result"
    config = { type = "float_range", default = 1.0, min = 0.0, max = 10.0, step = 0.5, adjustable = true }
"""


def write_algorithm(
    folder: Path,
    name: str = "invert",
    code: str = INVERT,
    *,
    version: str = "1.0",
    type: str = "Image2Image",
    extra: str = "",
    files: dict[str, str | bytes] | None = None,
) -> Path:
    """Write an algorithm folder and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    table = textwrap.dedent(f"""
        [project]
        name = "{name}"
        version = "{version}"

        [tool.workbench]
        algorithm_type = "{type}"
        description = "{name} for tests"
        tags = ["test"]
    """)
    (folder / "pyproject.toml").write_text(table + textwrap.dedent(extra))
    (folder / "Runner.py").write_text(textwrap.dedent(code))
    for path, content in (files or {}).items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content if isinstance(content, bytes) else textwrap.dedent(content).encode())
    return folder


def generic(body: str) -> str:
    """Return a generic Runner whose ``inference(self, data, args)`` has the given body and returns a list of arrays."""
    return GENERIC.replace("BODY", textwrap.indent(textwrap.dedent(body).strip("\n"), " " * 12).lstrip())
