import numpy as np
from compox.algorithm_utils import io_schemas as schemas
from compox.algorithm_utils.Image2ImageRunner import Image2ImageRunner
from compox.tasks.DebuggingTaskHandler import DebuggingTaskHandler


class Runner(Image2ImageRunner):
    def preprocess(self, input_data: dict, args: dict = {}):
        assert issubclass(schemas.ImageSchema, schemas.DataSchema)
        files = self.fetch_data(input_data["input_dataset_ids"], "image", parallel=True)
        self.shape = files[0]["image"].shape
        return [file["image"] for file in files]

    def inference(self, data, args: dict = {}):
        return data

    def postprocess(self, data, args: dict = {}):
        assert all(image.shape == self.shape for image in data)
        return self.post_data([{"image": np.asarray(image)} for image in data])


if __name__ == "__main__":
    handler = DebuggingTaskHandler("identity")
    runner = handler.fetch_algorithm(".")
    runner.run({"input_dataset_ids": []})
