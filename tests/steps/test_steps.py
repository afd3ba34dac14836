"""Steps: names, hooks in their order, modes, and bytes in safe formats with the real libraries."""

from __future__ import annotations

import pickle
import subprocess
import sys
import zipfile
from io import BytesIO

import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression

from workbench.errors import (
    DamagedError,
    InvalidDataError,
    InvalidInputError,
    NotFoundError,
    UnsupportedError,
)
from workbench.steps import JsonStep, SklearnStep, Step, StepCallback, TorchStep
from workbench.versions import VersionedField, changed_kind, changes, version_of

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4))
Y = (X[:, 0] > 0).astype(int)


class Reduce(SklearnStep):
    model_class = PCA
    model_parameters = {"n_components": 2, "random_state": 0}


class Classify(SklearnStep):
    model_class = LogisticRegression
    model_parameters = {"C": 0.5}


class Net(TorchStep):
    epochs = 60
    learning_rate = 0.05

    def make_model(self):
        return torch.nn.Linear(4, 1)


class Odd(BaseEstimator):
    """An estimator that skops does not know."""

    def fit(self, x):
        self.mean_ = x.mean()
        return self

    def predict(self, x):
        return x - self.mean_


class OddStep(SklearnStep):
    model_class = Odd


class PickledStep(OddStep):
    format = "pickle"


class Told(StepCallback):
    def __init__(self, name, said):
        self.name, self.said = name, said

    def before_execution(self, step, args):
        self.said.append(f"{self.name} before")

    def after_execution(self, step, args, output):
        self.said.append(f"{self.name} after {output}")


class Spoken(Step):
    def execute(self, value):
        self.said.append("execute")
        return 1 / value

    def before_execution(self, args):
        self.said.append("own before")

    def after_execution(self, args, output):
        self.said.append(f"own after {output}")


class TestStep:
    def test_hooks_are_called_in_their_order(self):
        said: list[str] = []
        step = Spoken(callbacks=[Told("a", said), Told("b", said)])
        step.said = said
        assert step(2) == 0.5
        assert said == [
            *("own before", "a before", "b before", "execute"),
            *("own after 0.5", "a after 0.5", "b after 0.5"),
        ]

    def test_nothing_is_called_after_a_step_that_raised(self):
        said: list[str] = []
        step = Spoken(callbacks=[Told("a", said)])
        step.said = said
        with pytest.raises(ZeroDivisionError):
            step(0)
        assert said == ["own before", "a before", "execute"]

    def test_names_come_from_the_class_unless_it_says_one(self):
        class Own(Spoken):
            name = "chosen"

        class Child(Own):
            pass

        assert (Spoken().name, Own().name, Child().name, Own("other").name) == (
            *("spoken", "chosen"),
            *("child", "other"),
        )
        assert [step.is_named for step in (Spoken(), Own(), Child(), Child("other"))] == [
            *(False, True),
            *(False, True),
        ]
        with pytest.raises(InvalidInputError, match="Step name"):
            Own("no/slash")

    def test_classes_of_any_script_get_a_name_or_a_lesson(self):
        class Größe(Spoken):
            pass

        assert Größe.name == "grosse"
        with pytest.raises(InvalidInputError, match="name = 'denoise'"):
            type("平滑", (Spoken,), {})

    def test_the_version_is_that_of_the_class(self):
        class Scale(Step):
            factor = VersionedField(2, "minor")

            def execute(self, x):
                return self.factor * x

        step = Scale()
        step.factor = 5
        assert step(1) == 5
        assert step.version == version_of(Scale)


class TestModes:
    def test_fit_then_predict_is_fit_predict(self):
        step = Reduce("fit")
        assert step(X) is None
        together = Reduce("fit_predict")(X)
        step.mode = Reduce("predict").mode
        np.testing.assert_array_equal(step(X), together)
        assert together.shape == (60, 2)

    def test_what_is_supervised_predicts_from_the_first_input(self):
        assert (Classify("fit_predict")(X, Y) == Y).mean() > 0.9

    def test_a_step_that_was_never_trained_says_what_to_do(self):
        with pytest.raises(NotFoundError, match="has no trained model"):
            Reduce("predict")(X)
        with pytest.raises(NotFoundError, match="be saved"):
            Reduce().serialize()

    def test_modes_are_checked(self):
        with pytest.raises(InvalidInputError, match="Did you mean 'predict'"):
            Reduce("predikt")
        assert [Reduce(mode).allow_version_change for mode in ("fit", "predict", "fit_predict")] == [
            *(True, False, True)
        ]

    def test_training_again_is_a_patch(self):
        step = Reduce("fit")
        untrained = step.version
        step(X)
        first = step.version
        step(X)
        assert untrained != first != step.version
        assert changed_kind(first, step.version) == "patch"

    def test_class_and_parameters_of_the_estimator_are_major(self):
        class Wider(Reduce):
            model_parameters = {"n_components": 3, "random_state": 0}

        found = changes(version_of(Reduce), version_of(Wider))
        assert [(str(change), change.kind) for change in found] == [
            ("model_parameters['n_components'] 2 -> 3", "major")
        ]

    def test_an_estimator_is_a_class(self):
        class Named(SklearnStep):
            model_class = "PCA"

        class Nothing(SklearnStep):
            pass

        for step, said in ((Named, "expected the class itself"), (Nothing, "has no estimator")):
            with pytest.raises(InvalidInputError, match=said):
                step("fit")(X)


class TestSklearnBytes:
    def test_another_process_loads_what_was_trained(self, tmp_path):
        step = Reduce("fit")
        step(X)
        (tmp_path / "step").write_bytes(step.serialize())
        np.save(tmp_path / "x.npy", X)
        code = (
            "import sys, numpy as np\n"
            "from sklearn.decomposition import PCA\n"
            "from workbench.steps import SklearnStep\n"
            "class Reduce(SklearnStep):\n"
            "    model_class = PCA\n"
            "    model_parameters = {'n_components': 2, 'random_state': 0}\n"
            "step = Reduce('predict'); step.load(open('step', 'rb').read())\n"
            "np.save('y.npy', step(np.load('x.npy'))); print(step.version)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), step.predict(X))
        assert done.stdout.strip().rpartition("_")[0] == str(step.version).rpartition("_")[0]

    def test_a_type_nobody_trusts_is_refused_by_name(self):
        step = OddStep("fit")
        step(X)
        data, other = step.serialize(), OddStep("predict")
        with pytest.raises(UnsupportedError, match=r"trusted=\['.*Odd'\]") as caught:
            other.load(data)
        assert not other.is_trained
        other.load(data, trusted=eval(str(caught.value).rpartition("trusted=")[2].rstrip(".")))
        np.testing.assert_array_equal(other(X), step.predict(X))

    def test_a_pickle_is_read_only_where_it_is_allowed(self, tmp_path):
        class Trap:
            def __reduce__(self):
                return (open, (str(tmp_path / "sprung"), "w"))

        step = PickledStep("fit")
        step(X)
        data = step.serialize()
        other = PickledStep("predict")
        with pytest.raises(UnsupportedError, match="allow_pickle=True"):
            other.load(data)
        other.load(data, allow_pickle=True)
        np.testing.assert_array_equal(other(X), step.predict(X))

        step.model = Trap()
        with pytest.raises(UnsupportedError):
            Reduce("predict").load(step.serialize())
        assert not (tmp_path / "sprung").exists()

    def test_damaged_and_foreign_bytes_are_refused_and_change_nothing(self):
        step = Reduce("fit")
        step(X)
        data = bytearray(step.serialize())
        data[len(data) // 2] ^= 0xFF
        loaded = Reduce("predict")
        for wrong, error in ((bytes(data), DamagedError), (b"", DamagedError), (b"text", DamagedError)):
            with pytest.raises(error):
                loaded.load(wrong)
        with BytesIO() as file:
            with zipfile.ZipFile(file, "w") as archive:
                archive.writestr("other", "x")
            with pytest.raises(InvalidDataError, match="no trained step"):
                loaded.load(file.getvalue())
        net = Net("fit")
        net(X.astype("float32"), X[:, :1].astype("float32"))
        with pytest.raises(InvalidDataError, match="are safetensors, this step reads skops"):
            loaded.load(net.serialize())
        assert not loaded.is_trained


class TestTorchBytes:
    x = torch.from_numpy(X.astype("float32"))
    y = x @ torch.tensor([[1.0], [-2.0], [0.5], [0.0]]) + 0.25

    @pytest.mark.parametrize("kind", ["safetensors", "torchscript"])
    def test_round_trip(self, kind, monkeypatch):
        monkeypatch.setattr(Net, "format", kind)
        step, other = Net("fit"), Net("predict")
        step(self.x, self.y)
        assert float(((step.predict(self.x) - self.y) ** 2).mean()) < 0.01
        other.load(step.serialize())
        assert torch.equal(other(self.x), step.predict(self.x))
        assert other.version == step.version

    def test_the_same_seed_trains_the_same_and_leaves_the_random_state_alone(self):
        torch.manual_seed(5)
        expected = torch.rand(1)
        torch.manual_seed(5)
        one, other = Net("fit_predict")(self.x, self.y), Net("fit_predict")(self.x, self.y)
        assert torch.equal(one, other)
        assert torch.equal(torch.rand(1), expected)

    def test_weights_of_another_architecture_are_refused(self):
        class Wide(Net):
            name = "net"

            def make_model(self):
                return torch.nn.Linear(8, 1)

        step = Net("fit")
        step(self.x, self.y)
        with pytest.raises(InvalidDataError, match="another architecture"):
            Wide("predict").load(step.serialize())

    def test_inputs_without_targets_are_refused(self):
        with pytest.raises(InvalidInputError, match="inputs and targets"):
            Net("fit")(self.x)
        with pytest.raises(InvalidInputError, match="60 inputs and 59 targets"):
            Net("fit")(self.x, self.y[1:])


class TestJson:
    def test_only_the_state_is_kept(self):
        class Centre(JsonStep):
            state = ("mean",)

            def execute(self, x):
                self.mean, self.other = float(np.mean(x)), 1
                return x - self.mean

        step, other = Centre(), Centre()
        with pytest.raises(NotFoundError, match="no mean yet"):
            step.serialize()
        step(X)
        other.load(step.serialize())
        assert vars(other) == {"mean": step.mean}
        with pytest.raises(InvalidDataError, match="not its state"):
            other.load(b"{}")
        step.mean = X
        with pytest.raises(InvalidInputError, match="tolist"):
            step.serialize()


def test_steps_can_be_pickled_for_another_process():
    step = Reduce("fit")
    step(X)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(step)).predict(X), step.predict(X))


def test_the_libraries_are_imported_when_they_are_needed():
    code = "import sys, workbench.steps; print([m for m in ('torch', 'sklearn', 'skops', 'numpy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
