from compox.algorithm_utils.BaseRunner import BaseRunner


class Runner(BaseRunner):
    def preprocess(self, input_data: dict, args: dict = {}):
        return len(input_data["input_dataset_ids"])

    def inference(self, count, settings, args: dict = {}):
        return [f"{count} inputs", f"{len(settings)} parameters", f"{len(args)} more"]

    def postprocess(self, data, args: dict = {}):
        return data
