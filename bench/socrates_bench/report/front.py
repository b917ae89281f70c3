"""The README's table: one line for each thing that a newcomer asks about, each with the record that it comes from."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from socrates_bench.record import Measurement
from socrates_bench.report.choose import shape_of
from socrates_bench.report.tables import markdown
from socrates_bench.report.words import amount, spread


class Line(NamedTuple):
    """What is asked, and the measurement that answers."""

    what: str
    bench: str
    name: str
    shape: str | None = None
    quantisation: str | None = None
    settings: Mapping[str, object] = {}
    on_cpu: bool = False

    def answers(self, one: Measurement) -> bool:
        """Whether ``one`` is the measurement."""
        kind = one.model.quantisation if one.model else None
        return (
            (one.bench, one.name) == (self.bench, self.name)
            and self.shape in (None, shape_of(one))
            and self.quantisation in (None, kind)
            and all(one.settings.get(name) == value for name, value in self.settings.items())
            and not (self.on_cpu and one.where.gpus)
        )


ALL = 2_901_390
"""Rows of SocSci210: a bench of fewer says nothing here."""

FRONT = (
    Line("preparing 2.9 million rows: scales, splits, card", "data", "seconds of preparing",
         settings={"share": 1.0, "rows": ALL}),
    Line("evaluating 2.9 million predictions, all baselines, 1,000 draws", "evaluate", "seconds",
         settings={"part": "total", "rows": ALL}),
    Line("training, 0.5B in NF4 on a CPU: Unsloth's examples/s over plain Transformers'", "train",
         "examples per second, Unsloth over plain", "0.5b", settings={"four_bit": True}, on_cpu=True),
    Line("our own code's share of a training step, tiny model", "train", "our own code's share of a step", "tiny",
         settings={"backend": "unsloth"}, on_cpu=True),
    Line("export of a 0.5B to Q4_K_M, from adapter to file", "export", "seconds of the export", "0.5b", "q4_k_m"),
    Line("the same, over PEFT's merge + llama.cpp's converter and quantiser", "export",
         "times as fast as the steps apart", "0.5b", "q4_k_m"),
    Line("answer distributions, stimulus first: rows/s over llama-cpp-python's `Llama`, tiny Q8_0", "score",
         "times Llama", "tiny", "q8_0", {"order": "stimulus_first"}),
    Line("the same, persona first, where `Llama` shares as much: 0.5B Q8_0", "score", "times Llama", "0.5b", "q8_0",
         {"order": "persona_first"}),
    Line("reading a prompt (pp512) on a CPU, 0.5B Q8_0", "decode", "pp512", "0.5b", "q8_0", {"by": "llama.cpp"},
         on_cpu=True),
    Line("generating (tg128) on a CPU, 0.5B Q8_0", "decode", "tg128", "0.5b", "q8_0", {"by": "llama.cpp"}, on_cpu=True),
    Line("the demo: distance (W) from the true distributions, fine-tuned", "demo", "wasserstein.truth",
         settings={"predictor": "fine-tuned"}),
    Line("the same, guessing", "demo", "wasserstein.truth", settings={"predictor": "uniform"}),
)  # fmt: skip


def front(measurements: Sequence[Measurement]) -> str:
    """The table; of what was measured often the newest, and what was never measured has no line."""
    rows = [["what", "measured", "n", "least to most", "where", "record"]]
    for line in FRONT:
        found = sorted(filter(line.answers, measurements), key=lambda one: one.run)
        for one in found[-1:]:
            file = f"bench/results/{one.bench}.jsonl"
            here = f"{one.where.cpu}, {one.where.cpus} cores" if one.where.cpus else one.where.cpu
            rows.append([line.what, amount(one.figure.median, one.figure.unit), str(one.figure.n), spread(one.figure),
                         f"{here}, {one.date:%Y-%m-%d}", f"[{one.bench}]({file})"])  # fmt: skip
    return markdown(rows)
