from compox.algorithm_utils import BaseRunner, io_schemas
from dependencies.utils import *
import dependencies.utils as u


class Runner(BaseRunner.BaseRunner):
    def preprocess(self, input_data: dict, args: dict = {}):
        return self.fetch_data(input_data["input_dataset_ids"], io_schemas.MeshSchema, "vertices", "faces")

    def inference(self, data, args: dict = {}):
        self.log_message(u.NAME)
        return [bounds(mesh["vertices"]) for mesh in data]

    def postprocess(self, data, args: dict = {}):
        return self.post_data([{"data": box} for box in data], io_schemas.GenericSchema)
