import compox.algorithm_utils.io_schemas as schemas
import dependencies.utils
from compox.algorithm_utils.BaseRunner import BaseRunner
from dependencies import utils
from dependencies.utils import project


class Runner(BaseRunner):
    def preprocess(self, input_data: dict, args: dict = {}):
        files = self.fetch_data(input_data["input_dataset_ids"], schemas.VolumeSchema, "volume")
        return [file["volume"] for file in files]

    def inference(self, data, args: dict = {}):
        import dependencies.utils as inside

        assert inside is utils is dependencies.utils
        self.log_message(utils.NAME)
        return [project(volume, args.get("how", "max")) for volume in data]

    def postprocess(self, data, args: dict = {}):
        return self.post_data([{"data": image} for image in data], schemas.GenericSchema, parallel=True)
