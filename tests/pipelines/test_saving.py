"""Trained pipelines are saved and loaded: versions, links, states; what changed in a major way is refused."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression

import workbench
from workbench import Node, Pipeline
from workbench.errors import (
    DamagedError,
    InvalidInputError,
    InvalidPipelineError,
    NotFoundError,
    RunFailedError,
    UnsupportedError,
    VersionError,
)
from workbench.steps import JsonStep, SklearnStep, Step, TorchStep
from workbench.versions import VersionedField, version_of

RNG = np.random.default_rng(0)
X = RNG.normal(size=(80, 5))
Y = (X[:, 0] + X[:, 1] > 0).astype(int)


class Reduce(SklearnStep):
    model_class = PCA
    model_parameters = {"n_components": 4, "random_state": 0}


class Wider(Reduce):
    """The same step after its author has changed it."""

    name = "reduce"
    model_parameters = {"n_components": 5, "random_state": 0}


class Classify(SklearnStep):
    model_class = LogisticRegression


class Stricter(Classify):
    name = "classify"
    model_parameters = {"C": 0.01}


class Scale(Step):
    factor = VersionedField(2.0, "major")
    verbose = VersionedField(False, "patch")

    def execute(self, x):
        return x * self.factor


class Scale3(Scale):
    name = "scale"
    factor = 3.0


class Chatty(Scale):
    name = "scale"
    verbose = True


def train(reduce=Reduce, classify=Classify, scale=Scale, name="train") -> Pipeline:
    return Pipeline(
        [
            Node(scale(), "x", "scaled"),
            Node(reduce("fit_predict"), "scaled", "reduced"),
            Node(classify("fit"), ["reduced", "y"]),
        ],
        name=name,
        inputs=["x", "y"],
    )


def predict(reduce=Reduce, classify=Classify, scale=Scale, name="predict") -> Pipeline:
    return Pipeline(
        [
            Node(scale(), "__pipeline_input__", "scaled"),
            Node(reduce("predict"), "scaled", "reduced"),
            Node(classify("predict"), "reduced", "__pipeline_output__"),
        ],
        name=name,
    )


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[workbench.Workspace]:
    with workbench.open(tmp_path / "ws") as opened:
        yield opened


def trained(**classes) -> Pipeline:
    pipe = train(**classes)
    pipe.run(X, Y).result()
    return pipe


def test_a_pipeline_shows_the_numbers_that_it_would_load(ws):
    trained().save()
    unloaded, loaded = predict(), predict()
    loaded.load()
    page = unloaded._repr_html_()
    assert page.count(" 1.0.0<") == 6  # beside each the title that shows it whole
    assert page == loaded._repr_html_()
    run = loaded.run(X)
    assert [node.version for node in run.nodes][1:] == ["1.0.0", "1.0.0"]


class TestSaving:
    def test_a_trained_pipeline_is_used_by_another_one(self, ws):
        pipe = trained()
        saved = pipe.save()
        assert (saved.ref, saved.nodes) == (
            "train@1.0.0",
            {"scale": "scale@1.0.0", "reduce": "reduce@1.0.0", "classify": "classify@1.0.0"},
        )
        assert len(ws.links.list()) == 2
        found = predict().load().run(X).result()
        reduce, classify = (pipe.node(name).what for name in ("reduce", "classify"))
        np.testing.assert_array_equal(found, classify.predict(reduce.predict(X * 2.0)))

    def test_another_process_loads_it(self, ws, tmp_path):
        trained().save()
        np.save(tmp_path / "x.npy", X)
        code = (
            f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
            "import numpy as np, workbench\n"
            "from test_saving import predict, X\n"
            "workbench.open(sys.argv[1])\n"
            "np.save('y.npy', predict().load().run(np.load('x.npy')).result())\n"
        )
        subprocess.run([sys.executable, "-c", code, ws.url], cwd=tmp_path, check=True)
        np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), predict().load().run(X).result())

    def test_saving_twice_changes_nothing(self, ws):
        pipe = trained()
        assert pipe.save() == pipe.save()
        assert len(ws.links.list()) == 2
        assert [len(ws.links.versions(name)) for name in ws.links.steps()] == [1, 1, 1]
        assert len(list(ws.store.list("models"))) == 2

    def test_training_again_is_a_patch_of_all_that_was_trained(self, ws):
        trained().save()
        pipe = train()
        pipe.run(X, Y, reuse="never").result()
        assert pipe.save().nodes == {
            "scale": "scale@1.0.0",
            "reduce": "reduce@1.0.1",
            "classify": "classify@1.0.1",
        }
        rows = pipe.versions().rows()
        assert [(row["number"], row["changed"]) for row in rows] == [
            ("1.0.1", "patch: classify trained again, reduce trained again"),
            ("1.0.0", "first version"),
        ]

    def test_a_reused_training_is_the_same_version(self, ws):
        trained().save()
        assert trained().save().nodes["reduce"] == "reduce@1.0.0"

    def test_what_was_never_trained_is_not_saved(self, ws):
        with pytest.raises(NotFoundError, match="node 'reduce' was never trained"):
            train().save()
        assert ws.links.steps() == []
        assert not ws.pipelines.exists("train")

    def test_two_states_under_one_name_are_refused(self, ws):
        pipe = Pipeline(
            [Node(Reduce(), "x", "a"), Node(Reduce(), "a", "b", name="again")], inputs=["x"], name="two"
        )
        pipe.run(X).result()
        with pytest.raises(
            InvalidPipelineError, match="both kept as 'reduce', and each has a state of its own"
        ):
            pipe.save()

        class Other(Scale):
            name = "reduce"

        with pytest.raises(InvalidPipelineError, match="of two classes"):
            Pipeline(
                [Node(Other(), "x", "a"), Node(Reduce("predict"), "a", name="again")], inputs=["x"]
            ).load()
        assert ws.links.steps() == []

    def test_what_is_no_pipeline_is_refused(self, ws):
        for call in (ws.pipelines.save, ws.pipelines.load, ws.pipelines.validate, ws.pipelines.retrain):
            with pytest.raises(InvalidInputError, match="3 is no Pipeline"):
                call(3)
        with pytest.raises(NotFoundError, match="there is no step 'reduce'"):
            ws.pipelines.register("early", "reduce")
        assert not ws.pipelines.exists("early")
        ws.links.register(Reduce())
        assert ws.pipelines.register("early", "reduce").last_step == "reduce"
        with pytest.raises(NotFoundError, match=r"no step 'reduse'\. Did you mean 'reduce'"):
            ws.pipelines.register("early", "reduse")
        assert ws.pipelines.list()[0].last_step == "reduce"
        assert "Did you mean 'early'" in repr(ws.pipelines.versions("eraly"))
        assert ws.pipelines.register("early", "reduce") == ws.pipelines.register("early", "reduce")
        with pytest.raises(NotFoundError, match="'early' is registered, and no version"):
            ws.pipelines.get("early")

    def test_saved_pipelines_are_listed_and_deleted(self, ws):
        pipe = trained()
        pipe.save()
        (row,) = ws.pipelines.list().rows()
        assert (row["pipeline"], row["version"], row["result of"]) == ("train", "1.0.0", "classify")
        with pytest.raises(Exception, match=r"needed by classify, pipeline train@1\.0\.0"):
            ws.links.delete("reduce", "1.0.0")
        ws.reindex()
        assert ws.pipelines.exists("train")
        ws.pipelines.delete("train")
        assert not ws.pipelines.exists("train")
        with pytest.raises(NotFoundError, match="No pipeline 'train' was saved"):
            ws.pipelines.delete("train")
        assert list(pipe.versions()) == []
        predict().load()  # the steps stay


class TestKinds:
    def test_nested_pipelines_functions_and_torch(self, ws):
        import torch  # not above: the children of other tests import this module

        class Net(TorchStep):
            epochs = 3

            def make_model(self):
                return torch.nn.Linear(4, 1)

        def tensors(x):
            return torch.as_tensor(np.ascontiguousarray(x), dtype=torch.float32)

        def whole(mode):
            inner = Pipeline(
                [Node(Scale(), "raw", "scaled"), Node(Reduce(mode), "scaled", "out")],
                name="features",
                inputs=["raw"],
            )
            reads = ["t", "target"] if mode != "predict" else ["t"]
            return Pipeline(
                [Node(inner, "x", "features"), Node(tensors, "features", "t"), Node(Net(mode), reads)],
                name=f"net-{mode}",
                inputs=["x", *reads[1:]],
            )

        pipe = whole("fit_predict")
        pipe.run(X, torch.as_tensor(Y[:, None], dtype=torch.float32)).result()
        assert pipe.save().nodes == {
            "features/scale": "scale@1.0.0",
            "features/reduce": "reduce@1.0.0",
            "tensors": "tensors@1.0.0",
            "net": "net@1.0.0",
        }
        expected = pipe.node("net").what.predict(tensors(pipe.node("features/reduce").what.predict(X * 2.0)))
        other = whole("predict").load()
        np.testing.assert_array_equal(np.asarray(other.run(X).result()), expected.numpy())
        ws.links.remove("tensors", "reduce")
        ws.links.remove("net", "tensors")
        with pytest.raises(VersionError) as caught:
            whole("predict").load()
        assert caught.value.nodes == ("net",)


class TestKills:
    CODE = """
import sys
sys.path.insert(0, sys.argv[2])
import workbench
from test_saving import X, Y, train
workbench.open(sys.argv[1])
pipe = train()
while True:
    pipe.run(X, Y, reuse="never").result()
    saved = pipe.save()
    print(saved.number, saved.nodes["reduce"], saved.nodes["classify"], flush=True)
"""

    def test_what_was_saved_before_a_kill_is_loaded(self, ws):
        command = [sys.executable, "-c", self.CODE, ws.url, str(Path(__file__).parent)]
        for i in range(2):
            child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            told = [child.stdout.readline().split() for _ in range(2)]
            time.sleep(0.02 * i + int.from_bytes(os.urandom(1)) / 2000)
            child.kill()
            told += [line.split() for line in child.communicate()[0].splitlines()]
            for number, reduce, classify in told:
                pipe = train().load(number)
                for path, ref in (("reduce", reduce), ("classify", classify)):
                    version = ws.links.get(path, ref.partition("@")[2]).version
                    assert pipe.node(path).what.version == version
            loaded = predict().load()
            assert loaded.run(X).result().shape == (80,)
            before = [version.number for version in train().versions()]
            ws.reindex()
            # one that was stored and not told when the process was killed may come to light
            assert [version.number for version in train().versions()][-len(before) :] == before
            predict().load()
            pipe = train()
            pipe.run(X, Y, reuse="never").result()
            assert pipe.save() == train().versions()[0]


class TestLoading:
    def test_a_major_change_upstream_is_refused_with_the_node_named(self, ws):
        trained().save()
        pipe = predict(scale=Scale3)
        with pytest.raises(
            VersionError, match=r"'reduce': it worked with scale@1\.0\.0, and since then factor 2\.0 -> 3\.0"
        ) as c:
            pipe.load()
        assert (c.value.node, c.value.upstream) == ("reduce", "scale")
        assert "Retrain 'reduce'" in str(c.value)
        assert not pipe.node("reduce").what.is_trained

    def test_every_downstream_is_checked(self, ws):
        trained().save()
        ws.links.remove("reduce", "scale")
        ws.links.remove("classify", "reduce")
        with pytest.raises(VersionError) as caught:
            predict().load()
        assert caught.value.nodes == ("reduce", "classify")

    def test_smaller_changes_are_loaded(self, ws):
        trained().save()
        predict(scale=Chatty).load()

    def test_a_step_whose_own_code_changed_has_to_be_trained(self, ws):
        trained().save()
        with pytest.raises(
            VersionError, match=r"\['n_components'\] 4 -> 5 since reduce@1\.0\.0\. Retrain 'reduce'"
        ):
            predict(reduce=Wider).load()

    def test_retraining_upstream_in_a_major_way_makes_downstream_stale(self, ws):
        trained().save()
        only = Pipeline([Node(Scale(), "x", "s"), Node(Wider("fit"), "s")], inputs=["x"], name="only")
        only.run(X).result()
        only.save()
        with pytest.raises(
            VersionError, match=r"'classify': it worked with reduce@1\.0\.0, and since then .* 4 -> 5"
        ):
            predict(reduce=Wider).load()
        trained(reduce=Wider).save()
        assert predict(reduce=Wider).load().run(X).result().shape == (80,)
        assert predict().load().run(X).result().shape == (80,)  # the older code still finds its states

    def test_training_may_be_major_so_that_it_takes_downstream_along(self, ws):
        class Turning(Reduce):
            name = "reduce"
            training_update_version = "major"

        trained(reduce=Turning).save()
        predict(reduce=Turning).load()
        only = Pipeline([Node(Scale(), "x", "s"), Node(Turning("fit"), "s")], inputs=["x"], name="only")
        only.run(X, reuse="never").result()
        assert only.save().nodes["reduce"] == "reduce@2.0.0"
        with pytest.raises(
            VersionError, match=r"it worked with reduce@1\.0\.0, and since then trained again"
        ):
            predict(reduce=Turning).load()
        assert list(ws.pipelines.stale(train(reduce=Turning))) == ["classify"]
        assert ws.links.outdated("reduce", version_of(Turning)) == ()  # its code has not changed

    def test_one_version_of_the_pipeline_is_loaded_exactly(self, ws):
        first = trained()
        first.save()
        second = train()
        second.run(X, 1 - Y, reuse="never").result()
        second.save()
        model = first.node("classify").what.model
        assert second.versions()[0].number == "1.0.1"
        again = train().load("1.0.0")
        np.testing.assert_array_equal(again.node("classify").what.model.coef_, model.coef_)
        again.load()
        assert not np.array_equal(again.node("classify").what.model.coef_, model.coef_)
        with pytest.raises(NotFoundError, match=r"no registered version 3\.0\.0"):
            again.load("3.0.0")
        with pytest.raises(VersionError, match=r"Node 'reduce' has changed since train@1\.0\.0"):
            train(reduce=Wider).load("1.0.0")

    def test_a_pipeline_that_was_never_saved_says_so(self, ws):
        with pytest.raises(VersionError, match=r"'reduce' .*it was never trained and saved"):
            predict().load()
        with pytest.raises(NotFoundError, match="No pipeline 'predict' was saved"):
            predict().load("1.0.0")

    def test_a_predictor_goes_back_to_a_version_of_its_training(self, ws):
        first = trained()
        first.save()
        second = train()
        second.run(X, 1 - Y, reuse="never").result()
        second.save()
        with pytest.raises(
            NotFoundError,
            match=r"No pipeline 'predict' was saved.*pipe\.save\(\).*pipe\.load\('train@1\.0\.0'\)",
        ):
            predict().load("1.0.0")
        newest = predict().load()
        assert (
            newest.node("classify").what.version
            == predict().load("train@1.0.1").node("classify").what.version
        )
        back = predict().load("train@1.0.0")
        assert back.node("classify").what.version == first.node("classify").what.version
        assert back.save().nodes["classify"] == "classify@1.0.0"
        predict().load("1.0.0")
        with pytest.raises(NotFoundError, match="Did you mean 'train'"):
            predict().load("trian@1.0.0")
        only = Pipeline([Node(Other("fit"), ["x", "y"])], "only", inputs=["x", "y"])
        only.run(X, Y).result()
        only.save()
        with pytest.raises(NotFoundError, match=r"only@1\.0\.0 was saved without node 'reduce'"):
            predict().load("only@1.0.0")

    def test_a_damaged_state_changes_nothing(self, ws):
        trained().save()
        key = ws.links.get("classify").record
        path = ws.store.local_path("models", f"classify/{key.data}")
        path.chmod(0o644)
        path.write_bytes(path.read_bytes()[:-1] + b"?")
        pipe = predict()
        with pytest.raises(DamagedError, match=r"classify@1\.0\.0 is not what was saved"):
            pipe.load()
        assert not pipe.node("reduce").what.is_trained

    def test_a_type_that_is_not_trusted_changes_nothing(self, ws):
        class Odd(LogisticRegression):
            pass

        class Classifier(SklearnStep):
            name = "classify"
            model_class = Odd

        trained(classify=Classifier).save()
        pipe = predict(classify=Classifier)
        with pytest.raises(UnsupportedError, match="trusted="):
            pipe.load()
        assert not pipe.node("reduce").what.is_trained

    def test_what_was_never_saved_together_can_be_said_to_work(self, ws):
        trained().save()

        def cut(x):
            return x[:10]

        pipe = Pipeline(
            [
                Node(Scale(), "__pipeline_input__", "scaled"),
                Node(cut, "scaled", "few"),
                Node(Reduce("predict"), "few"),
            ],
            name="cut",
        )
        with pytest.raises(
            VersionError, match=r"'reduce': it was never saved together with 'cut'.*pipe\.validate"
        ):
            pipe.load()
        pipe.validate()
        assert pipe.load().run(X).result().shape == (10, 4)
        assert all(ws.pipelines.valid_edges(pipe).values())

    def test_a_json_step_keeps_its_newest_state(self, ws):
        class Centre(JsonStep):
            state = ("mean",)

            def execute(self, x):
                self.mean = float(np.mean(x))
                return x - self.mean

        pipe = Pipeline([Node(Centre(), "__pipeline_input__")], name="centre")
        for value in (1.0, 2.0):
            pipe.run(np.full(3, value), reuse="never").result()
            pipe.save()
        other = Pipeline([Node(Centre(), "__pipeline_input__")], name="centre").load()
        assert other.node("centre").what.mean == 2.0


class Mid(Step):
    """A step without a state and without fields, between what counts and what is trained."""

    def execute(self, x):
        return x - 1


class Other(SklearnStep):
    model_class = LogisticRegression


def through(scale=Scale, model=Classify, *, mode="fit", between=(Mid,), name="through") -> Pipeline:
    """Something that counts, nodes that pass it on, and a model."""
    first = scale if isinstance(scale, str) else scale()
    nodes = [Node(first, "x", "n0")]
    for i, what in enumerate(between):
        nodes.append(Node(what() if isinstance(what, type) else what, f"n{i}", f"n{i + 1}"))
    reads = [f"n{len(between)}", *(["y"] if mode == "fit" else [])]
    return Pipeline([*nodes, Node(model(mode), reads)], name=name, inputs=["x", *reads[1:]])


def between(x):
    return x + 1


class TestThroughStepsWithoutAState:
    @pytest.mark.parametrize("links", ["new", "old"])
    @pytest.mark.parametrize("nodes", [(Mid,), (between,), (between, Mid)])
    def test_a_model_is_refused_what_only_others_were_trained_with(self, ws, nodes, links):
        pipe = through(between=nodes)
        pipe.run(X, Y).result()
        pipe.save()
        if links == "old":  # neighbours were all that was linked
            ws.links.remove("classify", "scale")
        through(mode="predict", between=nodes, name="predict").load()
        other = through(Scale3, Other, between=nodes, name="other")
        other.run(X, Y).result()
        other.save()
        use = through(Scale3, mode="predict", between=nodes, name="predict")
        with pytest.raises(
            VersionError,
            match=r"'classify': it worked with scale@1\.0\.0, and since then factor 2\.0 -> 3\.0",
        ) as caught:
            use.load()
        assert (caught.value.nodes, caught.value.upstream) == (("classify",), "scale")
        last = "mid" if nodes[-1] is Mid else "between"
        assert use.missing_links() == [(last, "classify")]
        through(mode="predict", between=nodes, name="predict").load()
        through(Scale3, Other, mode="predict", between=nodes, name="predict").load()

    def test_what_load_refuses_is_stale_and_can_be_trained_again(self, ws):
        pipe = through()
        pipe.run(X, Y).result()
        pipe.save()
        use = through(Scale3, mode="predict", name="predict")
        with pytest.raises(VersionError, match="Retrain 'classify'") as caught:
            use.load()
        changed = through(Scale3)
        assert list(ws.pipelines.stale(changed)) == list(caught.value.nodes) == ["classify"]
        assert ws.links.outdated("scale", version_of(Scale3)) == ("classify",)
        (row,) = changed.retrain(X, Y)
        assert (row["node"], row["after"]) == ("classify", "classify@1.0.1")
        assert use.load().run(X).result().shape == (80,)
        assert not ws.pipelines.stale(changed)
        assert use.missing_links() == []
        with pytest.raises(VersionError, match="'classify': it worked with"):
            changed.load("1.0.0")

    def test_an_algorithm_behind_a_function_counts(self, ws, tmp_path):
        from algorithm_folders import generic, write_algorithm  # not above: children import this module

        source = "d = data[0]['data']\nreturn [d * {}]"
        folder = write_algorithm(tmp_path / "gain", "gain", generic(source.format(2)), type="Generic")
        ws.algorithms.deploy(folder, check=False)
        pipe = through("gain", between=(between,))
        pipe.run(X, Y).result()
        pipe.save()
        write_algorithm(tmp_path / "gain", "gain", generic(source.format(3)), type="Generic", version="2.0.0")
        ws.algorithms.deploy(folder, check=False)
        use = through("gain", between=(between,), mode="predict", name="predict")
        with pytest.raises(VersionError, match="'classify': it worked with gain@") as caught:
            use.load()
        changed = through("gain", between=(between,))
        assert list(ws.pipelines.stale(changed)) == list(caught.value.nodes)
        changed.retrain(X, Y)
        use.load()

    def test_nothing_is_saved_that_no_training_stands_for(self, ws):
        pipe = through()
        pipe.run(X, Y).result()
        pipe.save()
        use = through(Scale3, mode="predict", name="predict")
        use.node("classify").what.load(ws.links.load_bytes("classify"))
        with pytest.raises(
            VersionError, match="cannot be saved: node 'classify' was not trained with 'scale'"
        ):
            use.save()
        again = through(Scale3)
        again.run(X, Y).result()
        again.save()
        with pytest.raises(
            VersionError, match="cannot be saved"
        ):  # another state of it was, this one was not
            use.save()


class TestDrawing:
    def test_a_pipeline_shows_numbers_and_what_was_never_trained_together(self, ws):
        pipe = trained()
        assert ws.pipelines.kept(pipe).missing_edges() == []  # nothing is known of it
        pipe.save()
        assert "wb-missing" not in pipe._repr_html_()
        assert pipe._repr_html_().count(" 1.0.0</text>") == 3
        assert predict().missing_links() == []
        assert predict(scale=Scale3).missing_links() == [("scale", "reduce")]
        assert predict(reduce=Wider).missing_links() == [("reduce", "classify")]
        again = train()
        again.run(X, Y, reuse="never").result()
        assert again.missing_links() == [("scale", "reduce"), ("reduce", "classify")]  # not saved yet
        again.save()
        assert again.missing_links() == []


class TestRetraining:
    def test_nothing_is_done_where_nothing_is_stale(self, ws):
        trained().save()
        runs = len(ws.runs.list())
        page = train().retrain(X, Y)
        assert (list(page), len(ws.runs.list())) == ([], runs)
        assert "No stale nodes" in repr(page)

    def test_what_is_stale_is_trained_and_saved(self, ws):
        first = train().retrain(X, Y)
        assert [(r["node"], r["before"], r["after"]) for r in first] == [
            ("reduce", None, "reduce@1.0.0"),
            ("classify", None, "classify@1.0.0"),
        ]
        changed = train(classify=Stricter)
        assert list(ws.pipelines.stale(changed)) == ["classify"]
        (row,) = changed.retrain(X, Y)
        assert (row["before"], row["after"]) == ("classify@1.0.0", "classify@2.0.0")
        assert row["why"].startswith("model_parameters['C'] added: 0.01")
        assert ws.links.get("reduce").number == "1.0.0"  # it was not trained again
        predict(classify=Stricter).load()

    def test_a_major_change_upstream_takes_downstream_along(self, ws):
        train().retrain(X, Y)
        page = train(scale=Scale3).retrain(X, Y)
        assert [(r["node"], r["why"]) for r in page] == [
            ("reduce", "it worked with scale@1.0.0, and since then factor 2.0 -> 3.0"),
            ("classify", "reduce was trained again"),
        ]
        assert page[1]["after"] == ws.links.get("classify").ref == "classify@1.0.1"
        assert not ws.pipelines.stale(train(scale=Scale3))
        page = train(reduce=Wider, scale=Scale3).retrain(X, Y)
        assert [r["node"] for r in page] == ["reduce", "classify"]

    def test_all_of_it_is_trained_when_asked_for(self, ws):
        train().retrain(X, Y)
        page = train().retrain(X, Y, force=True)
        assert [r["after"] for r in page] == ["reduce@1.0.1", "classify@1.0.1"]

    def test_new_data_train_what_was_not_stale(self, ws):
        train().retrain(X, Y)
        page = train(classify=Stricter).retrain(X + 1, Y)
        assert [(r["node"], r["before"], r["why"]) for r in page][:1] == [
            ("reduce", "reduce@1.0.0", "its data are new")
        ]
        assert [r["node"] for r in page] == ["reduce", "classify"]

    def test_a_failure_saves_nothing(self, ws):
        with pytest.raises(RunFailedError):
            train().retrain(X, Y[:3])
        assert ws.links.steps() == []

    def test_in_the_background_too(self, ws):
        page = train().retrain(X, Y, executor="process")
        assert [r["after"] for r in page] == ["reduce@1.0.0", "classify@1.0.0"]
        assert predict().load().run(X).result().shape == (80,)
