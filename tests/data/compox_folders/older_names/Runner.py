import algorithm_utils.io_schemas as schemas
from algorithm_utils.Segmentation2SegmentationRunner import Segmentation2SegmentationRunner
from tasks.DebuggingTaskHandler import DebuggingTaskHandler


class Runner(Segmentation2SegmentationRunner):
    schema = schemas.SegmentationSchema

    def inference(self, data, args={}):
        return 1 - data


if __name__ == "__main__":
    print(DebuggingTaskHandler("older").fetch_algorithm("."))
