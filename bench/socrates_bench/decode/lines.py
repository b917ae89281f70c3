"""The lines of ``bench decode`` from what was measured."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from socrates_bench.decode.ceilings import UNIT
from socrates_bench.decode.contest import OURS, Contest
from socrates_bench.decode.prompts import ORDER
from socrates_bench.decode.subject import Subject
from socrates_bench.llama_bench import BATCH, PHYSICAL_BATCH, statistics_of
from socrates_bench.record import Bench, Ceiling, Figure, Measurement

OUR_ROWS = "socrates-fast"
Answers = Mapping[str, Sequence[dict[str, Any]]]
"""By who gave them; ours first."""


@dataclass(frozen=True)
class Test:
    """Tokens of a test: of a prompt, or generated one by one into an empty cache."""

    __test__ = False  # pytest

    n_prompt: int
    n_gen: int

    @property
    def tokens(self) -> int:
        """Of one repetition."""
        return self.n_prompt + self.n_gen

    @property
    def name(self) -> str:
        """llama-bench's: ``pp512``, ``tg128``."""
        return f"pp{self.n_prompt}" if self.n_prompt else f"tg{self.n_gen}"


@dataclass
class Lines:
    """Makes the lines of one file.

    Attributes:
        bench: the run.
        subject: the file.
        threads: CPU threads of everyone.
        gpu_layers: layers on the GPU, -1 for all.
        contest: who takes part with what, and who does not.
        facts: what each said of itself when it was ready.
    """

    bench: Bench
    subject: Subject
    threads: int
    gpu_layers: int
    contest: Contest
    facts: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def on_gpu(self) -> bool:
        """Whether weights lie in a GPU's memory, of which the process's own says nothing."""
        return self.gpu_layers != 0 and bool(self.bench.where.gpus)

    def _line(self, name: str, who: str, figure: Figure, **more: Any) -> Measurement:
        settings = {
            "by": who,
            **self.subject.settings,
            "gpu_layers": self.gpu_layers,
            **more.pop("settings", {}),
        }
        left_out = dict(self.contest.skipped)
        details = {**more.pop("details", {}), **({"skipped": left_out} if left_out else {})}
        return self.bench.measured(
            name, figure, model=self.contest.models.get(who, self.subject.model), settings=settings, details=details or None,
            llama=self.facts.get(OURS, {}).get("system_info"), **more,
        )  # fmt: skip

    def _ratios(
        self, name: str, settings: dict[str, Any], speeds: Mapping[str, Sequence[float]]
    ) -> list[Measurement]:
        """How many times as fast ours is as each peer, pair by pair."""
        (us, ours), *others = speeds.items()
        made = []
        for who, theirs in others:
            ratios = [our / their for our, their in zip(ours, theirs, strict=True)]
            settled = {**settings, "over": who}
            made.append(self._line(f"{name}, times as fast", us, Figure.of(ratios, "x"), settings=settled))
        return made

    def test(self, test: Test, found: Answers, ceiling: Ceiling | None) -> list[Measurement]:
        """A test's lines, ours first: speeds, with llama-bench's names in the details, and ratios."""
        sizes = {"n_prompt": test.n_prompt, "n_gen": test.n_gen}
        speeds, made = {}, []
        for who, answers in found.items():
            samples = statistics_of([answer["ns"] for answer in answers], test.tokens)
            speeds[who] = samples["samples_ts"]
            made.append(
                self._line(
                    test.name, who, Figure.of(speeds[who], UNIT, warm_up=1),
                    ceiling=ceiling if who == OURS else None, details={**self._named(who), **sizes, **samples},
                )
            )  # fmt: skip
        return made + self._ratios(test.name, {}, speeds)

    def _named(self, who: str) -> dict[str, Any]:
        """What is known of one who takes part; of ours by llama-bench's names."""
        facts = {name: value for name, value in self.facts[who].items() if name != "system_info"}
        if who != OURS:
            return facts
        return {
            **facts, "model_filename": self.subject.path.name, "n_batch": BATCH, "n_ubatch": PHYSICAL_BATCH,
            "n_threads": self.threads, "type_k": "f16", "type_v": "f16", "n_gpu_layers": self.gpu_layers, "n_depth": 0,
        }  # fmt: skip

    def first_token(self, kind: str, found: Answers, tokens: int) -> list[Measurement]:
        """Seconds to the first token of a real prompt, in a process that starts (cold), or has answered before (warm)."""
        name, settings = f"time to first token, {kind}", {"prompt_tokens": tokens}
        seconds = {who: [answer["seconds"] for answer in answers] for who, answers in found.items()}
        made = []
        for who, values in seconds.items():
            parts = {
                key: [answer[key] for answer in found[who]]
                for key in ("load", "prompt", "process")
                if kind == "cold"
            }
            figure = Figure.of(values, "s", warm_up=int(kind == "warm"))
            made.append(self._line(name, who, figure, settings=settings, details=parts))
        speeds = {who: [1 / value for value in values] for who, values in seconds.items()}
        return made + self._ratios(name, settings, speeds)

    def rows(self, found: Answers, prompt_speed: float | None) -> list[Measurement]:
        """Rows per second of each person's rows.

        Args:
            found: of each person.
            prompt_speed: tokens/s of the prompt test, for the ceiling.
        """
        name, made, speeds = "rows per second", [], {}
        settings = {
            "people": len(found[OUR_ROWS]), "rows_each": found[OUR_ROWS][0]["rows"], "order": ORDER,
        }  # fmt: skip
        for who, answers in found.items():
            speeds[who] = [answer["rows"] / answer["seconds"] for answer in answers]
            if who == OUR_ROWS:
                more = self._of_ours(answers, prompt_speed)
            else:
                more = {"details": {"generated": [answer["generated"] for answer in answers]}}
            made.append(self._line(name, who, Figure.of(speeds[who], "rows/s"), settings=settings, **more))
        return made + self._ratios(name, settings, speeds)

    def _of_ours(self, answers: Sequence[dict[str, Any]], prompt_speed: float | None) -> dict[str, Any]:
        """Ceiling, memory and details of the predictor's rows."""
        computed = [answer["tokens_computed"] for answer in answers]
        each = sum(computed) / sum(answer["rows"] for answer in answers)
        shared = 1 - sum(computed) / sum(answer["tokens_asked"] for answer in answers)
        ceiling = prompt_speed and Ceiling(
            value=prompt_speed / each, unit="rows/s",
            how=f"the prompt test's median of this run / {each:.1f} tokens computed a row",
        )  # fmt: skip
        peak = None if self.on_gpu else max(answer["peak"] for answer in answers)
        return {"ceiling": ceiling or None, "peak_memory": peak,
                "details": {"tokens_computed": computed, "shared_prefix": shared}}  # fmt: skip

    def memory(self, found: Mapping[str, dict[str, int]]) -> list[Measurement]:
        """Peak resident memory of the tests' processes, beside the files of weights that they read."""
        made = []
        for who, memory in found.items():
            files = self.contest.models[who].bytes or 0
            if self.on_gpu:  # the weights are elsewhere
                figure = Figure.of([memory["peak"]], "bytes")
                made.append(self._line("peak memory of the host", who, figure))
                continue
            least = Ceiling(value=files, unit="bytes", how="the file") if who == OURS else None
            made.append(self._line("peak memory", who, Figure.of([memory["peak"]], "bytes"), ceiling=least,
                                   peak_memory=memory["peak"], details={"beyond_files": memory["peak"] - files}))  # fmt: skip
        return made
