"""All benches in turn.

Why it matters: a change is judged by all of what it changes; and a newcomer wants figures of the own machine at once.
Method: one bench after the other, each as its own verb runs it; with ``quick`` on the tiny shape and few rows, where figures
show that everything works and little more. ``demo`` is left out then (making its base alone takes over a minute);
``builds`` and ``parity`` need files and are always left out. A bench that fails is named at the end, and the others still run.
Output: their lines, as they come.
Command: socrates-fast bench all --quick --json
"""

import sys
from collections.abc import Callable, Iterator

from socrates_bench.record import Measurement
from socrates_fast.errors import SocratesError

QUICK_ROWS = 5_000
Measure = Callable[[bool], Iterator[Measurement]]


def measure(quick: bool) -> Iterator[Measurement]:
    """Run all benches.

    Args:
        quick: at sizes that take less than three minutes together on two cores.

    Raises:
        SocratesError: at the end, if benches failed; with their names and reasons.
    """
    failed = []
    for name, bench in BENCHES.items():
        if quick and name in LONG:
            continue
        print(f"bench {name} ...", file=sys.stderr)
        try:
            yield from bench(quick)
        except (SocratesError, RuntimeError, OSError) as error:
            failed.append(f"bench {name}: {error}")
            print(failed[-1], file=sys.stderr)
        except Exception as error:  # ours: it keeps its traceback, and says where
            error.add_note(f"in bench {name}")
            raise
    if failed:
        raise SocratesError("these benches failed:\n" + "\n".join(failed))


def _demo(_quick: bool) -> Iterator[Measurement]:
    from socrates_bench import demo

    return demo.measure()


def _data(quick: bool) -> Iterator[Measurement]:
    from socrates_bench import data, data_plan

    rows = QUICK_ROWS if quick else data_plan.ROWS
    return data.measure(data.plan_of(rows, "1" if quick else "1,0.01", "participant", None, None))


def _evaluate(quick: bool) -> Iterator[Measurement]:
    from socrates_bench import data_plan, evaluate

    return evaluate.measure(evaluate.plan_of(QUICK_ROWS if quick else data_plan.ROWS, None))


def _export(quick: bool) -> Iterator[Measurement]:
    from socrates_bench import export

    if quick:
        return export.measure("tiny", [("f16", "q4_k_m")], repeats=1, apart=False)
    return export.measure("0.5b")


def _score(quick: bool) -> Iterator[Measurement]:
    from socrates_bench import score

    shape, people, peer, types = ("tiny", 4, 1, ["q8_0"]) if quick else ("0.5b", None, None, score.TYPES)
    return score.measure(shape, types, score.plan_of(shape, people, peer, score.ORDERS, 1, None, -1))


def _decode(quick: bool) -> Iterator[Measurement]:
    from socrates_bench.decode import bench

    prompt, generate, repeats, people = (128, 16, 2, 1) if quick else (512, 128, 5, 3)
    shape = "tiny" if quick else "0.5b"
    return bench.measure(
        bench.plan_of([], [shape], ["q8_0"], prompt, generate, repeats, people, None, -1, [])
    )


def _train(quick: bool) -> Iterator[Measurement]:
    from socrates_bench import train

    plan = train.Plan(steps=4, batch_size=2) if quick else train.Plan("0.5b", steps=6, batch_size=2)
    return train.measure(plan)


BENCHES: dict[str, Measure] = {
    "data": _data, "evaluate": _evaluate, "export": _export, "score": _score, "decode": _decode, "train": _train,
    "demo": _demo,
}  # fmt: skip
LONG = {"demo"}
