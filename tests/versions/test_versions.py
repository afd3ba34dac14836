"""Versions of code: the digests that other stores have, fields of all ancestors, what changed."""

from __future__ import annotations

import functools
import hashlib
import pickle
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from workbench.errors import InvalidInputError
from workbench.versions import (
    FieldChange,
    Version,
    Versioned,
    VersionedDict,
    VersionedField,
    VersionKind,
    changed_kind,
    changes,
    is_compatible,
    version_of,
)


def sha1(text: str) -> str:
    return hashlib.sha1(text.encode()).hexdigest()


@dataclass
class Spec:
    size: object


@dataclass
class Sorted:
    names: set[str]

    def __repr__(self):
        return f"Sorted({sorted(self.names)})"


class OwnText:
    def __str__(self):
        return "its own"


class Reduce(Versioned):
    n_components = VersionedField(2, "major")
    verbose = VersionedField(False, "patch")


class TestDigests:
    def test_known_values_of_other_stores(self):
        class Nothing(Versioned):
            pass

        class Three(Versioned):
            size = VersionedField(3, VersionKind.MINOR)

        class Five(Versioned):
            size = VersionedField(5, VersionKind.MINOR)

        assert version_of(Nothing).short == "da39a/da39a/da39a"
        assert version_of(Three).short == "94e72/36d3c/94e72"
        assert version_of(Five).short == "94e72/72101/94e72"

    def test_a_sum_hashes_the_two_texts_in_turn(self):
        a, b = Version.of_value("a", 1, "major"), Version.of_value("b", 2, "patch")
        assert a.major == sha1(sha1("1"))
        assert (a + b).major == sha1(a.major + b.major)
        assert (a + b).patch == sha1(a.patch + b.patch)
        assert (a + b).created == b.created

    def test_fields_count_in_the_order_of_their_names(self):
        class Ab(Versioned):
            b = VersionedField(2, "minor")
            a = VersionedField(1, "major")

        assert version_of(Ab) == Version() + Version.of_value("a", 1, "major") + Version.of_value(
            "b", 2, "minor"
        )

    def test_a_dict_counts_key_by_key(self):
        class Fit(Versioned):
            options = VersionedDict({"rate": 0.1, "loud": VersionedField(True, "patch")}, "minor")

        inner = Version() + Version.of_value("x", True, "patch") + Version.of_value("y", 0.1, "minor")
        assert version_of(Fit) == Version() + inner
        assert Fit().options == {"rate": 0.1, "loud": True}

    def test_text_and_back(self):
        version = version_of(Reduce)
        assert str(version) == f"{version.major}.{version.minor}.{version.patch}_{version.created!r}"
        assert Version.parse(str(version)) == version
        assert Version.parse(str(version)).created == version.created

    @pytest.mark.parametrize(
        "text", ["", "1.2.0", "x" * 200, None, f"{'a' * 40}.{'b' * 40}", f"{'a' * 40}.{'b' * 40}.{'C' * 40}_1",
                 f"{'a' * 40}.{'b' * 40}.{'c' * 40}_yesterday", f"{'a' * 40}.{'b' * 40}.{'c' * 40}_nan"]
    )  # fmt: skip
    def test_what_is_no_version_is_refused(self, text):
        with pytest.raises(InvalidInputError, match="is no version"):
            Version.parse(text)

    def test_greater_is_different_and_later(self):
        a = Version.of_value("n", 1, "major")
        b = Version("0" * 40, created=a.created + 1)
        again = Version(a.major, a.minor, a.patch, a.created + 9)
        assert b > a
        assert a < b
        assert not again > a
        assert again >= a
        assert hash(again) == hash(a)

    def test_pickle_keeps_the_fields(self):
        version = version_of(Reduce)
        other = pickle.loads(pickle.dumps(version))
        assert other == version
        assert other.fields == version.fields

    def test_training_again_is_a_new_version(self):
        version = version_of(Reduce)
        first, second = version.trained(100.0), version.trained(200.0)
        assert first != second
        assert first.major == version.trained(300.0).major
        assert second > first
        assert changed_kind(first, second) is VersionKind.PATCH
        assert changed_kind(version.trained(1.0, "major"), version.trained(2.0, "major")) is VersionKind.MAJOR


class TestFields:
    def test_a_field_reads_as_its_value(self):
        assert (Reduce.n_components, Reduce().n_components) == (2, 2)

    def test_setting_an_attribute_stays_with_the_instance(self):
        one, other, before = Reduce(), Reduce(), version_of(Reduce)
        one.n_components = 7
        assert (one.n_components, other.n_components, Reduce.n_components) == (7, 2, 2)
        assert version_of(one) is before

    def test_changing_a_list_or_dict_in_place_stays_with_the_instance(self):
        class Fit(Versioned):
            options = VersionedDict({"rate": 0.1})
            layers = VersionedField([1, 2])

        one, other = Fit(), Fit()
        one.options["rate"] = 9
        one.layers.append(3)
        Fit.layers.append(4)
        assert (one.options, one.layers) == ({"rate": 9}, [1, 2, 3])
        assert (other.options, other.layers) == ({"rate": 0.1}, [1, 2])

    def test_setting_an_attribute_of_the_class_does_not_change_its_version(self):
        class Fit(Versioned):
            size = VersionedField(3, "minor")

        Fit.size = 5

        class Later(Fit):
            pass

        assert Fit().size == 5
        assert version_of(Fit).short == version_of(Later).short == "94e72/36d3c/94e72"

    def test_all_ancestors_count(self):
        class Mixin:  # not derived from Versioned
            c = VersionedField(3, "patch")

        class Grandparent(Versioned):
            a = VersionedField(1)

        class Parent(Grandparent):
            b = VersionedField(2, "minor")

        class Child(Mixin, Parent):
            pass

        assert list(version_of(Child).fields) == ["a", "b", "c"]
        assert version_of(Child).minor == version_of(Child()).minor

    def test_a_plain_value_in_a_subclass_keeps_the_kind(self):
        class Wider(Reduce):
            n_components = 5

        class Same(Wider):
            pass

        assert Wider().n_components == 5
        assert [str(change) for change in changes(version_of(Reduce), version_of(Wider))] == [
            "n_components 2 -> 5"
        ]
        assert changed_kind(version_of(Reduce), version_of(Wider)) is VersionKind.MAJOR
        assert version_of(Same) == version_of(Wider)

    def test_the_nearest_ancestor_decides(self):
        class A(Versioned):
            n = VersionedField(1)

        class B(A):
            n = VersionedField(2)

        class C(A):
            pass

        class D(C, B):
            pass

        assert D.n == 2
        assert version_of(D) == version_of(B)

    @pytest.mark.parametrize(
        ("value", "lesson"),
        [
            (object(), "address"),
            ([object()], "address"),
            (lambda x: x, "address"),
            ({"a", "b"}, "sorted tuple"),
            ({"k": [frozenset("ab")]}, "sorted tuple"),
            (np.zeros(3), "tolist"),
            (Spec({"a", "b"}), "sorted tuple"),
            ([Spec(Spec(np.zeros(5000)))], "tolist"),
            (SimpleNamespace(size=np.zeros(3)), "tolist"),
            (Spec(object()), "address"),
            (defaultdict(lambda: 1), "address"),
            (functools.partial(lambda: 1), "address"),
            (np.random.default_rng(1), "its seed"),
            ({"random": np.random.RandomState(1)}, "its seed"),
        ],
    )
    def test_values_without_a_stable_text_are_refused_where_the_class_is_made(self, value, lesson):
        with pytest.raises(InvalidInputError, match=lesson) as caught:

            class Fit(Versioned):
                thing = VersionedField(value)

        assert "'thing'" in str(caught.value)

    def test_a_module_of_torch_is_refused_for_its_weights(self):
        torch = pytest.importorskip("torch")
        with pytest.raises(InvalidInputError, match="weights"):
            Version.of_value("net", [torch.nn.Linear(2, 1)], "major")

    @pytest.mark.parametrize(
        "value",
        [
            "data at 0xFF offset",
            ["at 0x1", {"k": "at 0x2"}],
            Spec("at 0x3"),
            Spec((1, "two", 3.0)),
            Path("folder"),
            date(2026, 3, 1),
            int,
            Sorted({"a", "b"}),
            OwnText(),
        ],
    )
    def test_values_with_a_text_of_their_own_count(self, value):
        assert Version.of_value("thing", value, "major").major == sha1(sha1(str(value)))

    def test_what_cannot_count_does_not_replace_a_field(self):
        with pytest.raises(InvalidInputError, match=r"Child\.n_components is a property"):

            class Child(Reduce):
                @property
                def n_components(self):
                    return 3

        class Fit(Versioned):
            options = VersionedDict({"rate": 0.1})

        with pytest.raises(InvalidInputError, match=r"Narrow\.options is 5 in the place of a versioned dict"):

            class Narrow(Fit):
                options = 5

    def test_a_numpy_scalar_is_a_value(self):
        assert Version.of_value("n", np.int64(3), "minor") == Version.of_value("n", 3, "minor")

    def test_kinds_and_keys_are_checked(self):
        with pytest.raises(InvalidInputError, match="Did you mean 'major'"):
            VersionedField(1, "mayor")
        with pytest.raises(TypeError, match="the key 1"):
            VersionedDict({1: 2})
        with pytest.raises(InvalidInputError, match="holds a versioned field"):
            VersionedField(VersionedField(1))

    def test_another_process_finds_the_same(self):
        code = (
            "from workbench.versions import *\n"
            "class A(Versioned):\n"
            "    o = VersionedDict({'b': 'x', 'a': (1, 2.5, None)}, 'minor')\n"
            "    n = VersionedField('text')\n"
            "print(version_of(A).short)"
        )
        found = {
            subprocess.run(
                [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, check=True
            ).stdout
            for seed in ("1", "2")
        }
        assert len(found) == 1


class TestChanges:
    def test_field_by_field_the_greatest_first(self):
        class Other(Versioned):
            n_components = VersionedField(3, "major")
            verbose = VersionedField(True, "patch")
            whiten = VersionedField("no", "minor")

        found = changes(version_of(Reduce), version_of(Other))
        assert [str(change) for change in found] == [
            "n_components 2 -> 3",
            "whiten added: no",
            "verbose False -> True",
        ]
        assert [change.kind for change in found] == ["major", "minor", "patch"]

    def test_renaming_a_lone_field_is_seen_although_its_digest_stays(self):
        class Renamed(Versioned):
            components = VersionedField(2, "major")
            verbose = VersionedField(False, "patch")

        assert version_of(Renamed) == version_of(Reduce)
        assert changes(version_of(Reduce), version_of(Renamed)) == [
            FieldChange("n_components", VersionKind.PATCH, "2", "2", renamed="components")
        ]

    def test_names_that_move_to_other_values_are_a_major_change(self):
        class A(Versioned):
            alpha = VersionedField(3)
            beta = VersionedField(5)

        class B(Versioned):
            beta = VersionedField(3)
            gamma = VersionedField(5)

        assert version_of(A) == version_of(B)  # the digests do not see it
        assert not is_compatible(version_of(A), version_of(B))

    def test_another_patch_field_asks_for_no_training(self):
        class Fewer(Versioned):
            n_components = VersionedField(2, "major")

        assert version_of(Fewer).major != version_of(Reduce).major  # a sum of more terms
        assert is_compatible(version_of(Fewer), version_of(Reduce))

    def test_another_kind_counts_as_the_greater_of_both(self):
        before, after = Version.of_value("n", 1, "patch"), Version.of_value("n", 1, "major")
        assert [str(change) for change in changes(before, after)] == ["n 1 (patch) -> 1 (major)"]
        assert changed_kind(before, after) is VersionKind.MAJOR

    def test_long_values_are_told_apart(self):
        before, after = (
            Version.of_value("n", "x" * 200 + "a", "major"),
            Version.of_value("n", "x" * 200 + "b", "major"),
        )
        (change,) = changes(before, after)
        assert change.before != change.after

    def test_without_fields_digests_are_compared(self):
        read = Version.parse(str(version_of(Reduce)))
        (change,) = changes(read, version_of(Reduce).trained(1.0))[:1]
        assert (change.name, change.kind) == ("(digest)", "major")
        assert changes(read, version_of(Reduce)) == []
