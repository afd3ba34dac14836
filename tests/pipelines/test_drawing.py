"""Where the boxes of a picture are: nothing overlaps, everything goes to the right, states change in place."""

from __future__ import annotations

import random
import xml.etree.ElementTree as ElementTree
from itertools import combinations

import pytest

from workbench.execution.run_html import run_text
from workbench.lettering import fitted, text_width
from workbench.models import NodeRecord
from workbench.pipelines import Node, Pipeline
from workbench.pipelines.drawing import picture
from workbench.pipelines.layers import place
from workbench.pipelines.plan import drawn_nodes
from workbench.pipelines.shape import BOX, shape_of
from workbench.steps import Step
from workbench.versions import VersionedField

IN, OUT = "__pipeline_input__", "__pipeline_output__"


def step(*values):
    return values


def nested() -> Pipeline:
    inner = Pipeline([Node(step, IN, "a", name="smooth"), Node(step, ["a", IN], OUT, name="edge")], "inner")
    outer = Pipeline(
        [
            Node(step, "x", "u", name="scale"),
            Node(inner, "u", "v", name="deep"),
            Node(step, ["v", "y"], "w", name="merge"),
        ],
        "outer",
        inputs=["x", "y"],
        outputs=["w", "u"],
    )
    return Pipeline(
        [
            Node("denoise@1", IN, "c"),
            Node(outer, ["c", IN], ["p", "q"], name="outer"),
            Node(step, ["p", "q", "c"], OUT, name="report"),
        ],
        "nested",
    )


def wide() -> Pipeline:
    names = list("abcdef")
    branches = [Node(step, name, name * 2, name=f"branch-{name}") for name in names]
    return Pipeline(
        [
            Node(step, IN, names, name="split"),
            *branches,
            Node(step, [n * 2 for n in names], OUT, name="gather"),
        ]
    )


def many(count: int = 20) -> Pipeline:
    draw, nodes, names = random.Random(4), [], [IN]
    for i in range(count):
        sources = draw.sample(names[-5:], k=min(len(names), draw.choice([1, 1, 2, 3])))
        nodes.append(Node(step, sources, f"o{i}", name=f"step-{i}"))
        names.append(f"o{i}")
    return Pipeline(nodes)


def drawn(pipe: Pipeline):
    nodes = drawn_nodes(pipe.graph, None)
    ends = [(port.step, name) for port, name in zip(pipe.graph.outputs, pipe.outputs, strict=True)]
    return nodes, ends


def svg(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(text[text.index("<svg") : text.index("</svg>") + 6])


@pytest.mark.parametrize(
    "pipe", [nested(), wide(), many(), Pipeline([Node(step)])], ids=["nested", "wide", "many", "one"]
)
def test_boxes_do_not_overlap_and_lie_right_of_what_they_read(pipe):
    nodes, ends = drawn(pipe)
    shape = shape_of(nodes, ends)
    width, height = BOX
    for (x, y), (u, v) in combinations(shape.boxes.values(), 2):
        assert abs(x - u) >= width or abs(y - v) >= height
    for node in nodes:
        for source, _ in node.sources:
            if source:
                assert shape.boxes[source][0] + width < shape.boxes[node.name][0]
    for x, y in shape.boxes.values():
        assert 0 <= x <= shape.size[0] - width
        assert 0 <= y <= shape.size[1] - height
    for path, ((x, y), (w, h)) in shape.frames.items():
        for name, (u, v) in shape.boxes.items():
            if name.startswith(f"{path}/"):
                assert x < u < u + width < x + w
                assert y < v < v + height < y + h
            else:
                assert u + width <= x or u >= x + w or v + height <= y or v >= y + h


@pytest.mark.parametrize("pipe", [nested(), wide(), many()], ids=["nested", "wide", "many"])
def test_lines_begin_and_end_at_their_boxes_and_never_go_back(pipe):
    nodes, ends = drawn(pipe)
    shape = shape_of(nodes, ends)
    for (source, target, _), points in shape.lines.items():
        assert [x for x, _ in points] == sorted(x for x, _ in points)
        if source in shape.boxes:
            assert points[0][0] == pytest.approx(shape.boxes[source][0] + BOX[0])
            assert shape.boxes[source][1] < points[0][1] < shape.boxes[source][1] + BOX[1]
        if target in shape.boxes:
            assert points[-1][0] == pytest.approx(shape.boxes[target][0])
            assert shape.boxes[target][1] < points[-1][1] < shape.boxes[target][1] + BOX[1]


def test_a_tree_is_drawn_without_crossings():
    sizes = dict.fromkeys("abcdefg", (10.0, 10.0))
    found = place(
        sizes, [("a", "c"), ("a", "b"), ("b", "g"), ("b", "f"), ("c", "e"), ("c", "d")], gap_x=5, gap_y=5
    )
    order = [sorted(names, key=lambda n: found.places[n][1]) for names in (("b", "c"), ("d", "e", "f", "g"))]
    children = {"b": {"f", "g"}, "c": {"d", "e"}}
    assert set(order[1][:2]) == children[order[0][0]]


def test_a_picture_is_well_formed_and_says_what_is_there():
    pipe = Pipeline(
        [Node(step, "<a & b>", name="first"), Node(step, "first", name="second")], inputs=["<a & b>"]
    )
    nodes, ends = drawn(pipe)
    root = svg(picture(nodes, ends, missing=[("first", "second")]))
    texts = [element.text for element in root.iter() if element.tag.endswith("}text")]
    assert "first" in texts
    assert "<a & b>" in texts
    assert len([e for e in root.iter() if e.get("class") == "wb-edge wb-missing"]) == 1


WIDE = "WMwm@%WMwm@%WMwm@%WMwm@%"


@pytest.mark.parametrize("took", [None, 1234.56])
@pytest.mark.parametrize("name", [WIDE, "background" * 3, "ill", "漢字" * 12, "Scale 3881b/e863f/a01c3"])
def test_no_text_leaves_its_box_or_meets_another(name: str, took: float | None):
    [node], ends = drawn(Pipeline([Node(step, IN, name="n")]))
    node = node.model_copy(
        update={"name": name.replace("/", "-"), "label": name, "seconds": took, "status": "COMPLETED"}
    )
    root = svg(picture([node], [(node.name, ends[0][1])], with_state=True))
    [group] = [g for g in root.iter() if g.get("class") == "wb-node"]
    [box] = [e for e in group if e.tag.endswith("}rect")]
    left, right = float(box.get("x", 0)), float(box.get("x", 0)) + float(box.get("width", 0))
    lines: dict[str, list[tuple[float, float]]] = {}
    for text in (e for e in group if e.tag.endswith("}text")):
        size = 11 if "font-size:11px" in text.get("style", "") else 12
        is_bold = "font-weight" in text.get("style", "")
        width, x = text_width(text.text or "", size, is_bold=is_bold), float(text.get("x", 0))
        begin = x - width if text.get("text-anchor") == "end" else x
        lines.setdefault(text.get("y", ""), []).append((begin, begin + width))
    assert len(lines) == 2
    for parts in lines.values():
        ends_of = [edge for part in sorted(parts) for edge in part]
        assert left < ends_of[0]
        assert ends_of == sorted(ends_of)
        assert ends_of[-1] < right


def test_the_longest_that_fits_is_shown():
    assert fitted("scale", 40, 12) == "scale"
    assert fitted("background", 60, 12).endswith("…")
    assert text_width(fitted(WIDE, 60, 12), 12) <= 60
    assert text_width("e\u0301", 12) == text_width("é", 12) == text_width("e", 12)


def test_states_change_and_the_boxes_stay():
    nodes, ends = drawn(nested())
    shape = shape_of(nodes, ends)

    def at(nodes: tuple[NodeRecord, ...]) -> list[tuple[str, str, str]]:
        found = []
        for group in svg(picture(nodes, ends, with_state=True, shape=shape)).iter():
            if group.get("class") == "wb-node":
                rect = next(e for e in group if e.tag.endswith("}rect"))
                found.append((group.get("data-status"), rect.get("x"), rect.get("y")))
        return found

    before = at(nodes)
    after = at(tuple(n.model_copy(update={"status": "RUNNING", "seconds": 1.0}) for n in nodes))
    assert {state for state, _, _ in before} == {"PENDING"}
    assert {state for state, _, _ in after} == {"RUNNING"}
    assert [place for _, *place in before] == [place for _, *place in after]


def test_pipelines_and_their_runs_show_themselves(ws, image):
    pipe = Pipeline([Node("invert", IN), Node("nothere", "invert"), Node(step, "invert", name="f")], "shown")
    page = pipe._repr_html_()
    assert "invert@1.0" in page
    assert "nothere (not deployed)" in page
    done = Pipeline([Node("invert", IN), Node(step, "invert", name="f")], "shown").run(image)
    page = done._repr_html_()
    assert page.count('data-status="COMPLETED"') == 2
    assert "2 nodes" in page
    assert "f                    COMPLETED" in run_text(done.record)


def test_edges_without_a_validated_link_are_red_once_the_pipeline_was_saved(ws):
    class Plain(Step):
        by = VersionedField(1, "major")

        def execute(self, x):
            return x + self.by

    class Other(Plain):
        name = "plain"
        by = VersionedField(2, "major")

    class After(Step):
        def execute(self, x):
            return x

    def pipe(step):
        return Pipeline([Node(step, IN, name="plain"), Node(After(), "plain", name="after")], "linked")

    pipe(Plain()).run(1)
    assert "wb-missing" not in pipe(Plain())._repr_html_()
    pipe(Plain()).save()
    assert "wb-missing" not in pipe(Plain())._repr_html_()
    assert pipe(Other()).missing_links() == [("plain", "after")]
    assert pipe(Other())._repr_html_().count("wb-missing") == 1
