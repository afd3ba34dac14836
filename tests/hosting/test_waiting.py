"""The queue of the run host and its slots."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from workbench.execution.slots import Needs
from workbench.hosting.waiting import PATIENCE_S, Slots, Waiting

NOTHING = Needs()


def drained(waiting: Waiting, slots: Slots) -> list[str]:
    ids = []
    while (run_id := waiting.next(slots)) is not None:
        ids.append(run_id)
    return ids


def test_runs_start_by_priority_then_in_the_order_they_came() -> None:
    waiting = Waiting()
    for run_id, priority in {"a": 0, "b": 5, "c": 0, "d": -1, "e": 5}.items():
        waiting.add(run_id, priority, NOTHING)
    assert len(waiting) == 5
    assert drained(waiting, Slots(0)) == ["b", "e", "a", "c", "d"]


def test_a_removed_run_does_not_start() -> None:
    waiting = Waiting()
    waiting.add("a", 0, NOTHING)
    waiting.add("b", 0, NOTHING)
    assert waiting.remove("a")
    assert not waiting.remove("a")
    assert drained(waiting, Slots(0)) == ["b"]


def test_two_runs_never_share_a_gpu_and_others_pass_the_one_that_waits() -> None:
    waiting, slots = Waiting(), Slots(0)
    for run_id, gpu in {"a": "cuda:0", "b": "cuda:0", "c": "cuda:1", "d": None}.items():
        waiting.add(run_id, 0, Needs(gpu=gpu))
    assert drained(waiting, slots) == ["a", "c", "d"]
    slots.give_back(Needs(gpu="cuda:0"))
    assert drained(waiting, slots) == ["b"]


def test_memory_is_shared_out_and_a_run_that_wants_more_than_there_is_runs_alone() -> None:
    waiting, slots = Waiting(), Slots(memory=10)
    for run_id, memory in {"a": 6, "b": 6, "c": 4, "d": 50}.items():
        waiting.add(run_id, 0, Needs(memory=memory))
    assert drained(waiting, slots) == ["a", "c"]
    slots.give_back(Needs(memory=6))
    assert drained(waiting, slots) == ["b"]
    slots.give_back(Needs(memory=4))
    slots.give_back(Needs(memory=6))
    assert drained(waiting, slots) == ["d"]


@given(st.lists(st.tuples(st.integers(0, 12), st.sampled_from([None, "cuda:0", "cuda:1"])), max_size=30))
def test_every_run_starts_at_last_and_no_slot_is_taken_twice(wanted: list[tuple[int, str | None]]) -> None:
    waiting, slots = Waiting(), Slots(memory=10)
    needs = {str(i): Needs(memory, gpu) for i, (memory, gpu) in enumerate(wanted)}
    for run_id, need in needs.items():
        waiting.add(run_id, 0, need)
    running: list[str] = []
    done: list[str] = []
    while len(done) < len(needs):
        running += drained(waiting, slots)
        assert running, "nothing runs and something waits"
        used = [needs[r] for r in running]
        declared = [n.memory for n in used if n.memory]
        assert len(declared) <= 1 or sum(declared) <= 10
        gpus = [n.gpu for n in used if n.gpu]
        assert len(gpus) == len(set(gpus))
        done.append(running.pop(0))
        slots.give_back(needs[done[-1]])


def test_of_a_group_only_so_many_have_a_turn_and_single_runs_pass_those_held_back() -> None:
    waiting, slots = Waiting(), Slots(0)
    for number in range(5):
        waiting.add(f"s{number}", 0, NOTHING, "sweep", 2)
    waiting.add("single", 0, NOTHING)
    assert (len(waiting), waiting.held) == (3, 3)
    assert drained(waiting, slots) == ["s0", "s1", "single"]
    waiting.ended("s1")
    assert drained(waiting, slots) == ["s2"]
    waiting.ended("s0")
    waiting.ended("s2")
    assert drained(waiting, slots) == ["s3", "s4"]
    assert waiting.held == 0


def test_a_run_of_a_group_that_is_removed_frees_its_turn() -> None:
    waiting, slots = Waiting(), Slots(0)
    for number in range(4):
        waiting.add(f"s{number}", 0, NOTHING, "sweep", 1)
    assert waiting.remove("s2")
    assert waiting.remove("s0")
    assert not waiting.remove("s2")
    assert waiting.held_of("sweep") == ["s3"]
    assert drained(waiting, slots) == ["s1"]
    waiting.ended("s1")
    assert drained(waiting, slots) == ["s3"]
    assert not waiting.remove("s3")
    waiting.ended("s3")
    assert waiting.held_of("sweep") == []


def test_a_group_goes_on_with_more_at_once_when_told_so() -> None:
    waiting, slots = Waiting(), Slots(0)
    for number in range(3):
        waiting.add(f"s{number}", 0, NOTHING, "sweep", 1)
    assert drained(waiting, slots) == ["s0"]
    waiting.add("s3", 0, NOTHING, "sweep", 3)
    assert drained(waiting, slots) == ["s1", "s2"]


def test_a_large_run_does_not_starve_while_small_ones_pass_it() -> None:
    moment = 0.0
    waiting, slots = Waiting(lambda: moment), Slots(memory=10)
    small, large, free = Needs(memory=4), Needs(memory=8), Needs()

    def small_ones(*ids: str) -> list[str]:
        for run_id in ids:
            waiting.add(run_id, 0, small)
        return drained(waiting, slots)

    assert small_ones("a", "b") == ["a", "b"]
    waiting.add("large", 0, large)
    slots.give_back(small)
    assert small_ones("c") == ["c"], "for a while it lets others pass: the memory would lie idle"
    moment += PATIENCE_S
    slots.give_back(small)
    assert small_ones("d") == [], "now it is held for the large one"
    assert waiting.could_begin(slots, 5) == []
    waiting.add("free", 0, free)
    waiting.add("urgent", 1, small)
    assert drained(waiting, slots) == ["urgent", "free"], (
        "what takes no memory passes, and so does who comes before it"
    )
    slots.give_back(small)
    slots.give_back(small)
    assert drained(waiting, slots) == ["large"]
    slots.give_back(large)
    assert drained(waiting, slots) == ["d"]


def test_a_run_that_was_taken_out_holds_nobody_back() -> None:
    moment = 0.0
    waiting, slots = Waiting(lambda: moment), Slots(memory=10)
    for run_id, memory in {"a": 6, "large": 10, "b": 4}.items():
        waiting.add(run_id, 0, Needs(memory=memory))
    assert waiting.next(slots) == "a"
    assert waiting.could_begin(slots, 5) == ["b"]
    moment += PATIENCE_S
    assert waiting.could_begin(slots, 5) == []
    assert waiting.remove("large")
    assert drained(waiting, slots) == ["b"]


def test_what_takes_no_slot_waits_aside() -> None:
    waiting, slots = Waiting(), Slots(0)
    for run_id in ("p", "q", "r"):
        waiting.add_aside(run_id)
    waiting.add("a", 0, NOTHING)
    assert (len(waiting), waiting.aside) == (1, 3)
    assert drained(waiting, slots) == ["a"]
    assert waiting.remove("q")
    assert not waiting.remove("q")
    assert [waiting.next_aside(), waiting.next_aside()] == ["p", "r"]
    assert waiting.aside == 0
