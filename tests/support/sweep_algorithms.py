"""Algorithms for sweeps: one that scales a number and leaves a mark for each call, one that waits, one that fails."""

from __future__ import annotations

from pathlib import Path

from algorithm_folders import write_algorithm

SCALE = """
    import os, time
    import numpy as np
    from workbench.runners import BaseRunner
    from workbench.schemas import GenericSchema

    class Runner(BaseRunner):
        def preprocess(self, input_data, args={}):
            return args

        def inference(self, data, args={}):
            if args["marks"]:
                with open(args["marks"], "a") as file:
                    file.write(f"{args['x']:g}\\n")
            if args["ms"]:
                time.sleep(args["ms"] / 1000)
            while args["gate"] and os.path.exists(args["gate"]):
                time.sleep(0.01)
            if args["x"] == args["fails_at"]:
                raise ValueError(f"x is {args['x']:g}")
            return np.float64(args["x"] * FACTOR)

        def postprocess(self, data, args={}):
            return self.post_data([{"data": np.array(data)}], GenericSchema)
"""

TABLE = """
    [[tool.workbench.parameters]]
    name = "x"
    type = "float"
    default = 1.0
    min = -100.0
    description = "What is scaled"

    [[tool.workbench.parameters]]
    name = "ms"
    type = "int"
    default = 0
    description = "How long it takes"

    [[tool.workbench.parameters]]
    name = "fails_at"
    type = "float"
    default = -1.0
    description = "Where it fails"

    [[tool.workbench.parameters]]
    name = "gate"
    type = "string"
    default = ""
    description = "Goes on when this file is gone"

    [[tool.workbench.parameters]]
    name = "marks"
    type = "string"
    default = ""
    description = "File that gets a line for each call"
"""


def write_scale(folder: Path, factor: int = 2) -> Path:
    """Write the algorithm ``scale``: its output is x times the factor."""
    return write_algorithm(folder, "scale", SCALE.replace("FACTOR", str(factor)), type="Generic", extra=TABLE)
