"""A result that was computed before, for a 64 MiB array argument. Limit: a fast hash of the array and a look into a dict."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from harness import Contest, Figures, median_seconds

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
from algorithm_folders import generic, write_algorithm

SMALL, LARGE = "hit, small result", "hit, 64 MiB result"


def main(rounds: int = 5, times: int = 5) -> None:
    from blake3 import blake3

    array = np.random.default_rng(0).random(8 << 20)

    def small(data: np.ndarray) -> np.ndarray:
        return data[:16] * 2.0

    def large(data: np.ndarray) -> np.ndarray:
        return data * 2.0

    def measured(call_small: Callable[[], object], call_large: Callable[[], object]) -> Callable[[], Figures]:
        call_small(), call_large()  # the first call computes
        return lambda: {SMALL: median_seconds(call_small, times), LARGE: median_seconds(call_large, times)}

    def by_hash(hash_of: Callable[[np.ndarray], object]) -> Callable[[], Figures]:
        known = {(name, hash_of(array)): f(array) for name, f in (("small", small), ("large", large))}
        return measured(lambda: known["small", hash_of(array)], lambda: known["large", hash_of(array)])

    with tempfile.TemporaryDirectory() as folder:
        contest = Contest("a 64 MiB argument whose result is known", limit="limit: BLAKE3 in threads, dict")
        contest.add(
            "limit: BLAKE3 in threads, dict",
            by_hash(lambda a: blake3(a.view(np.uint8).data, max_threads=blake3.AUTO).digest()),
        )
        with contest.peer("xxh3, dict"):
            import xxhash

            contest.add("xxh3, dict", by_hash(lambda a: xxhash.xxh3_128_digest(a.view(np.uint8).data)))
        contest.add("workbench", workbench(Path(folder), array, measured))
        with contest.peer("joblib.Memory"):
            from joblib import Memory

            for name, mode in (("joblib.Memory", None), ("joblib.Memory, mapped", "r")):
                cache = Memory(str(Path(folder) / name), mmap_mode=mode, verbose=0).cache
                kept_small, kept_large = cache(small), cache(large)
                contest.add(
                    name,
                    measured(lambda f=kept_small: f(array), lambda f=kept_large: f(array)),  # type: ignore[misc]
                )
        with contest.peer("diskcache, keyed by joblib.hash"):
            contest.add(
                "diskcache, keyed by joblib.hash", diskcache(Path(folder), array, small, large, measured)
            )
        contest.target("workbench", SMALL, ratio=1.2, seconds=0.012)
        contest.run(rounds)


def workbench(folder: Path, array: np.ndarray, measured):  # type: ignore[no-untyped-def]
    import workbench

    ws = workbench.open(folder / "ws")
    for name, body in (
        ("small", "return [d['data'][:16] * 2.0 for d in data]"),
        ("large", "return [d['data'] * 2.0 for d in data]"),
    ):
        source = write_algorithm(folder / name, name, generic(body), type="Generic")
        ws.algorithms.deploy(source, check=False)

    def call(name: str) -> object:
        return ws.run(name, array, reuse="auto").result()

    turn = measured(lambda: call("small"), lambda: call("large"))
    assert ws.run("large", array, reuse="only").reused_from
    return turn


def diskcache(folder: Path, array: np.ndarray, small, large, measured):  # type: ignore[no-untyped-def]
    import joblib
    from diskcache import Cache

    cache = Cache(str(folder / "diskcache"), size_limit=1 << 32)

    def call(function) -> object:  # type: ignore[no-untyped-def]
        key = (function.__name__, joblib.hash(array))
        found = cache.get(key)
        if found is None:
            found = function(array)
            cache.set(key, found)
        return found

    return measured(lambda: call(small), lambda: call(large))


if __name__ == "__main__":
    main()
