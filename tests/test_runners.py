# ruff: noqa: B006  # the signatures that algorithms have
from __future__ import annotations

import copy
import functools
import inspect
import math
import pickle
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from dict_context import DictContext, run

from workbench.errors import InvalidDataError, InvalidInputError
from workbench.runners import (
    BaseRunner,
    Image2AlignmentRunner,
    Image2EmbeddingRunner,
    Image2ImageRunner,
    Image2SegmentationRunner,
    Segmentation2SegmentationRunner,
    for_run,
    load,
)
from workbench.schemas import GenericSchema
from workbench.versions import VersionedDict, VersionedField, version_of


class Plain(BaseRunner):
    """The three phases, doing nothing."""

    def preprocess(self, input_data, args={}):
        return input_data

    def inference(self, data, args={}):
        return data

    def postprocess(self, data, args={}):
        return []


class Loaded(Plain):
    loads = 0

    def __init__(self):
        self.model = None
        self.count = 0

    def load_assets(self):
        type(self).loads += 1
        self.model = [1, 2, 3]


def attached(cls: type[BaseRunner], context: DictContext | None = None) -> Any:
    context = context or DictContext()
    return for_run(load(cls, context), context)


IMAGES = [np.arange(12, dtype=np.uint8).reshape(3, 4) + i for i in range(3)]


# -- life cycle -----------------------------------------------------------------------------------------------------------


def test_assets_are_loaded_once_and_shared_by_all_runs():
    context, before = DictContext(), Loaded.loads
    shared = load(Loaded, context)
    runs = [for_run(shared, DictContext()) for _ in range(3)]
    assert Loaded.loads == before + 1
    assert all(r.model is runs[0].model for r in runs)
    assert runs[0].model == [1, 2, 3], "the None of __init__ must not win"


def test_init_runs_again_for_every_run():
    shared = load(Loaded, DictContext())
    first, second = for_run(shared, DictContext()), for_run(shared, DictContext())
    first.count += 5
    first.extra = "mine"
    assert (first.count, second.count) == (5, 0)
    assert not hasattr(second, "extra")
    assert first.runner_context == {"count": 5, "extra": "mine"}


def test_locked_attribute_cannot_be_set_or_deleted():
    runner = attached(Loaded)
    with pytest.raises(
        AttributeError, match=r"'model' of Loaded is locked and cannot be modified.*load_assets"
    ):
        runner.model = 1
    with pytest.raises(AttributeError, match="locked and cannot be deleted"):
        del runner.model
    runner.count = 3
    del runner.count


def test_setting_the_same_value_in_load_assets_locks_too():
    class Runner(Plain):
        def __init__(self):
            self.limit = None

        def load_assets(self):
            self.limit = None

    with pytest.raises(AttributeError, match="'limit'"):
        attached(Runner).limit = 2


def test_values_put_past_setattr_in_load_assets_are_shared_and_locked():
    class Runner(Plain):
        def load_assets(self):
            self.__dict__.update(gain=2.0)

    runner = attached(Runner)
    assert runner.gain == 2.0
    with pytest.raises(AttributeError, match="'gain'"):
        runner.gain = 3.0


def test_name_deleted_in_load_assets_is_free():
    class Runner(Plain):
        def load_assets(self):
            self.scratch = 1
            del self.scratch

    runner = attached(Runner)
    assert not hasattr(runner, "scratch")
    runner.scratch = 2


def test_slots_are_shared_and_locked_like_other_attributes():
    class Runner(Plain):
        __slots__ = ("count", "table")

        def __init__(self):
            self.count = 0

        def load_assets(self):
            self.table = [1]

    shared = load(Runner, DictContext())
    first, second = for_run(shared, DictContext()), for_run(shared, DictContext())
    first.count = 9
    assert first.table is second.table
    assert second.count == 0
    with pytest.raises(AttributeError, match="'table'"):
        first.table = []


def test_properties_keep_their_setters():
    class Runner(Plain):
        _cut = 0

        @property
        def cut(self):
            return self._cut

        @cut.setter
        def cut(self, value):
            self._cut = value * 2

        def load_assets(self):
            self.cut = 4

    runner = attached(Runner)
    assert runner.cut == 8
    with pytest.raises(AttributeError, match="'_cut'"):
        runner.cut = 1


def test_class_attribute_gives_way_to_what_load_assets_set():
    class Runner(Plain):
        model = None

        def load_assets(self):
            self.model = "net"

    assert attached(Runner).model == "net"


def test_versioned_list_and_dict_belong_to_the_run_also_when_load_assets_has_read_them():
    class Counting(Plain):
        seen = VersionedField([0], "minor")
        options = VersionedDict({"level": 1})

        def load_assets(self):
            self.first = self.seen[0], self.options["level"]

    shared = load(Counting, DictContext())
    version = version_of(Counting)
    for _ in range(2):
        runner = for_run(shared, DictContext())
        runner.seen.append(1)
        runner.options["level"] += 1
        assert (runner.seen, runner.options) == ([0, 1], {"level": 2})
    assert version_of(shared) is version
    runner = for_run(shared, DictContext())
    runner.seen = 5
    assert (runner.seen, shared.first, Counting.seen) == (5, (0, 1), [0])


def test_cached_property_belongs_to_the_run():
    class Runner(Plain):
        def __init__(self):
            self.seed = 0

        @functools.cached_property
        def numbers(self):
            return [self.seed]

    shared = load(Runner, DictContext())
    first, second = for_run(shared, DictContext()), for_run(shared, DictContext())
    first.seed, second.seed = 1, 2
    assert (first.numbers, second.numbers) == ([1], [2])


@pytest.mark.parametrize("frozen", [False, True])
def test_dataclass_runners_behave(frozen):
    @dataclass(frozen=frozen)
    class Runner(Plain):
        sigma: float = 1.0
        found: list = field(default_factory=list)

        def load_assets(self):
            object.__setattr__(self, "sigma", 2.0)

    shared = load(Runner, DictContext())
    first, second = for_run(shared, DictContext()), for_run(shared, DictContext())
    first.found.append(1)
    assert (first.sigma, second.sigma) == (2.0, 2.0)
    assert second.found == []
    assert first.run({"input_dataset_ids": []}) == []


def test_error_inside_a_property_is_not_hidden():
    class Runner(Plain):
        @property
        def broken(self):
            return self.model.weights

        def __init__(self):
            self.model = None

    with pytest.raises(AttributeError, match="'NoneType' object has no attribute 'weights'"):
        attached(Runner).broken


def test_missing_attribute_reads_as_usual():
    with pytest.raises(AttributeError, match="'Loaded' object has no attribute 'nope'"):
        attached(Loaded).nope


def test_device_is_read_only_and_known_everywhere():
    seen = []

    class Runner(Plain):
        def __init__(self):
            seen.append(self.device)

        def load_assets(self):
            seen.append(self.device)

    context = DictContext(device="cuda")
    runner = for_run(load(Runner, context, "cuda"), context)
    assert seen == ["cuda"] * 3
    with pytest.raises(AttributeError, match="device is read-only"):
        runner.device = "cpu"
    assert runner.device == "cuda"


def test_initialize_starts_afresh_but_keeps_the_assets():
    runner = attached(Loaded)
    runner.count, runner.extra = 4, 1
    runner.initialize(device="mps")
    assert (runner.count, runner.model, runner.device) == (0, [1, 2, 3], "mps")
    assert not hasattr(runner, "extra")


def test_base_runner_is_abstract():
    with pytest.raises(TypeError, match="abstract"):
        BaseRunner()
    assert BaseRunner.__abstractmethods__ == {"preprocess", "inference", "postprocess"}


# -- threads --------------------------------------------------------------------------------------------------------------


def test_concurrent_runs_never_see_each_others_values():
    class Runner(Plain):
        def __init__(self):
            self.items = []

        def inference(self, data, args={}):
            for _ in range(200):
                self.items = [*self.items, args["n"]]
            return self.items

        def postprocess(self, data, args={}):
            return data

    shared = load(Runner, DictContext())
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda n: for_run(shared, DictContext()).run({}, {"n": n}), range(8)))
    assert results == [[n] * 200 for n in range(8)]


def test_threads_of_the_algorithm_reach_their_run():
    class Runner(Plain):
        def inference(self, data, args={}):
            def work():
                self.log_message(f"tile of {args['n']}")
                self.set_progress(0.5)

            threads = [threading.Thread(target=work) for _ in range(3)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

    shared = load(Runner, DictContext())
    contexts = [DictContext() for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: for_run(shared, contexts[n]).run({}, {"n": n}), range(4)))
    assert [c.log for c in contexts] == [[("INFO", f"tile of {n}")] * 3 for n in range(4)]


def test_callback_kept_in_load_assets_reaches_the_run_that_uses_it():
    class Runner(Plain):
        def __init__(self):
            self.tiles = 0

        def load_assets(self):
            self.report = lambda: (
                self.log_message(f"from {self.name}"),
                setattr(self, "tiles", self.tiles + 1),
            )

        def inference(self, data, args={}):
            self.name = args["name"]
            self.report()
            if args.get("thread"):
                with ThreadPoolExecutor(1) as pool:
                    pool.submit(self.report).result()
            return [str(self.tiles)]

        def postprocess(self, data, args={}):
            return data

    shared = load(Runner, DictContext())
    first, second = DictContext(), DictContext()
    assert for_run(shared, first).run({}, {"name": "a", "thread": True}) == ["2"]
    assert for_run(shared, second).run({}, {"name": "b"}) == ["1"]
    assert [m for _, m in first.log] == ["from a"] * 2
    assert [m for _, m in second.log] == ["from b"]
    with pytest.raises(InvalidInputError, match="0 runs share it"):
        shared.set_progress(0.1)
    with pytest.raises(AttributeError, match="no run is under way"):
        shared.tiles = 3


def test_runner_sent_to_another_process_keeps_values_but_not_the_run():
    runner = attached(Loaded)
    runner.count = 7
    twin = pickle.loads(pickle.dumps(runner))
    assert (twin.count, twin.model, twin.device) == (7, [1, 2, 3], "cpu")
    with pytest.raises(InvalidInputError, match="attached to none"):
        twin.log_message("lost")
    assert copy.copy(runner).count == 7


# -- phases and what a runner reaches ----------------------------------------------------------------------------------------


def test_phases_get_data_and_args_by_position():
    class Runner(Plain):
        def inference(self, a, b, args={}):
            return [f"{a['input_dataset_ids']} {b} {args}"]

        def postprocess(self, data, args={}):
            return data

    assert attached(Runner).run({"input_dataset_ids": ["x"]}, {"k": 1}) == ["['x'] {'k': 1} {}"]


def test_generic_runner_fetches_and_posts_with_its_schema():
    class Runner(BaseRunner):
        def preprocess(self, input_data, args={}):
            return self.fetch_data(input_data["input_dataset_ids"], GenericSchema, "data", parallel=True)

        def inference(self, data, args={}):
            self.set_progress(1)
            return [item["data"] * args["gain"] for item in data]

        def postprocess(self, data, args={}):
            return self.post_data([{"data": item} for item in data], GenericSchema)

    outputs, context = run(Runner, IMAGES, {"gain": 3}, key="data")
    assert [o["data"].tolist() for o in outputs] == [(i * 3).tolist() for i in IMAGES]
    assert context.progress == [1.0]


def test_one_id_and_one_dict_are_accepted():
    context = DictContext()
    runner = attached(Plain, context)
    (new,) = runner.post_data({"data": np.ones(3)}, GenericSchema)
    assert runner.fetch_data(new, GenericSchema)[0]["data"].tolist() == [1, 1, 1]


def test_load_assets_reaches_assets_and_log_but_no_data():
    class Runner(Plain):
        def load_assets(self):
            self.table = self.fetch_asset("files/table.txt").read()
            self.log_message("loaded", "debug")
            self.set_progress(0.5)
            self.fetch_data([], GenericSchema)

    context = DictContext({"files/table.txt": b"1 2 3"})
    with pytest.raises(
        InvalidInputError, match=r"fetch_data is not available in load_assets of Runner.*preprocess"
    ):
        load(Runner, context)
    assert context.log == [("DEBUG", "loaded")]
    assert context.progress == []


@pytest.mark.parametrize(
    "call",
    [
        lambda r: r.fetch_data(["x"], GenericSchema),
        lambda r: r.post_data([], GenericSchema),
        lambda r: r.fetch_asset("a.txt"),
        lambda r: r.log_message("x"),
        lambda r: r.set_progress(0.5),
        lambda r: r.save_item_to_session(1, "k"),
        lambda r: r.load_item_from_session("k"),
        lambda r: r.remove_item_from_session("k"),
        lambda r: r.task_handler,
    ],
)
def test_runner_made_by_hand_says_how_to_run_it(call):
    with pytest.raises(InvalidInputError, match=r"Plain is attached to none.*ws\.run\(.*debug=True\)"):
        call(Plain())


def test_session_items_and_task_handler_reach_the_context():
    context = DictContext(run_id="r7")
    runner = attached(Plain, context)
    runner.save_item_to_session([1], "k")
    assert runner.load_item_from_session("k") == [1]
    runner.remove_item_from_session("k")
    assert context.session == {}
    assert runner.task_handler.run_id == "r7"


@pytest.mark.parametrize("value", [0, 1, 0.25, np.float32(0.5), np.int64(1), np.array(0.5), 1 + 2e-16, True])
def test_progress_takes_every_kind_of_number(value):
    context = DictContext()
    attached(Plain, context).set_progress(value)
    assert context.progress == [min(float(value), 1.0)]


@pytest.mark.parametrize("value", [-0.1, 1.01, math.nan, math.inf, "0.5", b"1", None, [0.5], np.ones(3)])
def test_progress_refuses_what_is_no_share(value):
    with pytest.raises(ValueError, match=r"Progress is .*, expected a number from 0 to 1"):
        attached(Plain).set_progress(value)


def test_log_level_is_checked():
    context = DictContext()
    runner = attached(Plain, context)
    runner.log_message(12, "warning")
    with pytest.raises(ValueError, match="'LOUD', expected one of DEBUG, INFO, WARNING, ERROR"):
        runner.log_message("x", "LOUD")
    assert context.log == [("WARNING", "12")]


# -- typed runners --------------------------------------------------------------------------------------------------------------


class Invert(Image2ImageRunner):
    def inference(self, data, args={}):
        return 255 - data


def test_image_runner_stacks_inputs_and_posts_one_image_each():
    outputs, _ = run(Invert, IMAGES)
    assert [o["image"].tolist() for o in outputs] == [(255 - i).tolist() for i in IMAGES]
    assert list(outputs[0]) == ["image"]


def test_image_runner_stacks_more_inputs_than_one_batch_in_order():
    images = [np.full((2, 2), i, np.uint16) for i in range(70)]
    seen = []

    class Runner(Image2ImageRunner):
        def inference(self, data, args={}):
            seen.append((data.shape, data.dtype))
            return data

    outputs, _ = run(Runner, images)
    assert [int(o["image"][0, 0]) for o in outputs] == list(range(70))
    assert seen == [((70, 2, 2), np.uint16)]


def test_colour_images_stack_with_channels_first():
    outputs, _ = run(Invert, [np.zeros((3, 4, 5), np.uint8)] * 2)
    assert [o["image"].shape for o in outputs] == [(3, 4, 5)] * 2


def test_inputs_of_mixed_dtype_stack_as_numpy_does():
    class Runner(Image2ImageRunner):
        def inference(self, data, args={}):
            return data

    outputs, _ = run(Runner, [np.ones((2, 2), np.uint8), np.full((2, 2), 0.5, np.float32)])
    assert [o["image"][0, 0] for o in outputs] == [1.0, 0.5]
    assert outputs[0]["image"].dtype == np.float32


def test_input_of_another_shape_is_named():
    with pytest.raises(
        InvalidDataError, match=r"Input 2 of 2 \('run-2'\) has 'image' of shape \(5, 6\).*\(3, 4\)"
    ):
        run(Invert, [IMAGES[0], np.zeros((5, 6), np.uint8)])


def test_no_inputs_is_refused():
    with pytest.raises(InvalidInputError, match=r"Invert got no inputs.*inputs="):
        run(Invert, [])


@pytest.mark.parametrize("base", [Image2ImageRunner, Image2SegmentationRunner, Image2EmbeddingRunner])
@pytest.mark.parametrize(
    ("result", "text"),
    [
        (np.zeros((2, 3, 4)), r"array of shape \(2, 3, 4\) for 3 inputs, expected \(3, \.\.\.\)"),
        (np.float32(1), "returned float32"),
        ([np.zeros((3, 4))] * 3, r"returned a list of 3 items.*np\.stack"),
        (None, "returned None"),
    ],
)
def test_result_that_does_not_fit_the_inputs_is_explained(base, result, text):
    class Runner(base):
        def inference(self, data, args={}):
            return result

    with pytest.raises(ValueError, match=text):
        run(Runner, IMAGES)


def test_overridden_preprocess_leaves_the_count_free():
    class Runner(Image2ImageRunner):
        def preprocess(self, input_data, args={}):
            return [d["image"] for d in self.fetch_data(input_data["input_dataset_ids"], "image")]

        def inference(self, data, args={}):
            return np.mean(data, axis=0)[None]

    outputs, _ = run(Runner, IMAGES)
    assert len(outputs) == 1


def test_segmentation_runner_posts_masks():
    class Runner(Image2SegmentationRunner):
        def inference(self, data, args={}):
            return data > args["threshold"]

    outputs, _ = run(Runner, IMAGES, {"threshold": 5})
    assert [o["mask"].sum() for o in outputs] == [6, 7, 8]
    assert outputs[0]["mask"].dtype == bool


def test_mask_runner_reads_and_writes_masks():
    class Runner(Segmentation2SegmentationRunner):
        def inference(self, data, args={}):
            return ~data

    outputs, _ = run(Runner, [np.zeros((4, 4), bool)], key="mask")
    assert outputs[0]["mask"].all()


@pytest.mark.parametrize("as_stack", [False, True])
def test_alignment_runner_posts_a_matrix_per_pair(as_stack):
    class Runner(Image2AlignmentRunner):
        def inference(self, data, args={}):
            matrices = [np.eye(3) * i for i in range(1, len(data))]
            return np.stack(matrices) if as_stack else matrices

    outputs, _ = run(Runner, IMAGES)
    assert len(outputs) == 2
    for i, output in enumerate(outputs, 1):
        assert np.array_equal(output["transform_matrix"], np.eye(3) * i)
        assert np.array_equal(output["translation_matrix"], np.eye(3) * i)
        assert (output["points1"], output["points2"], output["confidence"]) == ([], [], [])


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ([np.eye(3)] * 3, r"returned 3 matrices, of shape \(3, 3\) each, expected 2 for 3 images"),
        ([], "returned 0 matrices, expected 2"),
        ([1, 2], "a list of 2 items, expected a list of 2 matrices"),
        ({"a": 1}, "returned dict"),
    ],
)
def test_wrong_matrices_are_explained(result, text):
    class Runner(Image2AlignmentRunner):
        def inference(self, data, args={}):
            return result

    with pytest.raises(InvalidDataError, match=text):
        run(Runner, IMAGES)


def test_embedding_runner_fills_in_the_sizes():
    class Runner(Image2EmbeddingRunner):
        def inference(self, data, args={}):
            return data.reshape(len(data), -1).astype(np.float32)

    outputs, _ = run(Runner, IMAGES)
    assert [o["features"].shape for o in outputs] == [(12,)] * 3
    assert outputs[0]["input_size"] == outputs[0]["original_size"] == (3, 4)


def test_embedding_runner_knows_the_sizes_of_a_preprocess_of_its_own():
    class Runner(Image2EmbeddingRunner):
        def preprocess(self, input_data, args={}):
            images = self.fetch_data(input_data["input_dataset_ids"], "image")
            return np.stack([d["image"][:2, :2] for d in images])

        def inference(self, data, args={}):
            return data[: args["keep"]]

    images = [np.zeros((3, 4), np.uint8), np.zeros((5, 6), np.uint8)]
    outputs, _ = run(Runner, images, {"keep": 2})
    assert [tuple(o["original_size"]) for o in outputs] == [(3, 4), (5, 6)]
    with pytest.raises(InvalidDataError, match="2 images were fetched"):
        run(Runner, images, {"keep": 1})


def test_typed_runner_without_inference_says_so():
    class Runner(Image2ImageRunner):
        pass

    with pytest.raises(
        NotImplementedError, match=r"Runner has no inference. Write `def inference\(self, data, args={}\)`"
    ):
        run(Runner, IMAGES)


def test_torch_tensors_are_accepted_as_results():
    torch = pytest.importorskip("torch")

    class Images(Image2ImageRunner):
        def inference(self, data, args={}):
            return torch.from_numpy(data.astype(np.float32)).requires_grad_() * 2

    class Half(Image2SegmentationRunner):
        def inference(self, data, args={}):
            return torch.ones(data.shape, dtype=torch.bfloat16)

    class Matrices(Image2AlignmentRunner):
        def inference(self, data, args={}):
            return [torch.eye(3)] * (len(data) - 1)

    assert run(Images, IMAGES)[0][1]["image"].tolist() == (IMAGES[1] * 2.0).tolist()
    assert run(Half, IMAGES)[0][0]["mask"].dtype == np.float32
    assert isinstance(run(Matrices, IMAGES)[0][0]["transform_matrix"], np.ndarray)


def test_algorithm_types_match_the_names_of_the_seed():
    classes = [
        Image2ImageRunner,
        Image2SegmentationRunner,
        Image2AlignmentRunner,
        Image2EmbeddingRunner,
        Segmentation2SegmentationRunner,
    ]
    assert [c.algorithm_type + "Runner" for c in classes] == [c.__name__ for c in classes]
    assert BaseRunner.algorithm_type == "Generic"
    for cls in classes:
        assert str(inspect.signature(cls.fetch_data)).startswith("(self, file_ids")


def test_importing_runners_is_light():
    heavy = "import sys, workbench.runners; print([m for m in ('numpy', 'h5py', 'torch', 'pydantic') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_helper_methods_of_an_algorithm_may_have_any_private_name():
    names = [
        "_load",
        "_for_run",
        "_stack",
        "_phase",
        "_run_context",
        "_context",
        "_state",
        "_input_count",
        "_key",
    ]

    class Runner(Image2ImageRunner):
        def inference(self, data, args={}):
            for name in names:
                setattr(self, name[1:], getattr(self, name)())
            return data

    for name in names:
        setattr(Runner, name, lambda self: "mine")
    context = DictContext()
    ids = [context.put(image=image) for image in IMAGES]
    runner = for_run(load(Runner, context), context)
    assert len(runner.run({"input_dataset_ids": ids})) == 3
    assert set(runner.runner_context) == {name[1:] for name in names}
