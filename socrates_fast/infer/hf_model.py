"""The predictor that scores a Hugging Face model, with its adapter in place: for use without an export.

What it gives is what the model gives in training: Transformers' own forward pass, the prompts and answers of the one
renderer, and the answer trie that GGUF files are scored with.
"""

import gc
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from socrates_fast.errors import ScoringError
from socrates_fast.infer.hf_batches import HELD, Ids, Rows, batches
from socrates_fast.infer.hf_forward import Beginning, Passes, Wanted
from socrates_fast.infer.hf_load import adapted, causal_model, find_base, load
from socrates_fast.infer.messages import Progress, Stats
from socrates_fast.infer.predictor import Predictor, Result
from socrates_fast.infer.reasoning import refuse_reasoning
from socrates_fast.infer.trie import AnswerTrie, Leaf, normalised
from socrates_fast.prompt import ChatRenderer, Prompt
from socrates_fast.tokenizer import FolderTokenizer

_BATCH = {"cpu": 2048}
_BATCH_GPU = 4096
_OVERHEAD = {"cpu": 64}
_OVERHEAD_GPU = 512
"""What a pass costs besides its tokens, in tokens: reading the weights, starting the kernels."""


@dataclass
class _Job:
    """One of the different prompts: where it occurs, its tokens, its answers, what was read of each node."""

    numbers: list[int]
    ids: Ids
    trie: AnswerTrie
    rows: dict[int, NDArray[np.float64]] = field(default_factory=dict)


class HuggingFacePredictor(Predictor):
    """Answer distributions from a Hugging Face model, with or without a PEFT adapter (Unsloth's are such).

    In float32 the probabilities are those of a forward pass over every whole answer, to about 1e-6; in 16 bits they
    depend, in the third digit, on which prompts are computed together.

    Args:
        base: a model folder, or OWNER/NAME on the Hugging Face Hub with its ``revision``; None for the base that the
            adapter names.
        adapter: folder of a PEFT adapter.
        dtype: "float32", "bfloat16", "float16"; "auto" is float32 on a CPU, else 16 bits.
        load_in_4bit: quantise the base's layers to NF4, as QLoRA does in training.
        batch: most tokens in a pass (a longer prompt goes alone); None for 2048 on a CPU, else 4096. Keys and values
            take the memory of 8 times as many at most.
        device: PyTorch's name; None for CUDA where there is some, else the CPU.
        revision: commit of the base on the Hub.
        progress: called with every report of how far ``stream`` is.

    Raises:
        ModelError: a folder cannot be used, or base and adapter do not fit each other.
        MissingDependency: torch, transformers or peft is not installed.
    """

    def __init__(
        self,
        base: str | Path | None,
        adapter: str | Path | None = None,
        *,
        dtype: str = "auto",
        load_in_4bit: bool = False,
        batch: int | None = None,
        device: str | None = None,
        revision: str | None = None,
        progress: Callable[[Progress], None] | None = None,
    ) -> None:
        path = Path(adapter).expanduser() if adapter is not None else None
        folder = find_base(base, path, revision)
        renderer = FolderTokenizer(folder).renderer()
        model = load(folder, path, dtype, load_in_4bit, device)
        self._set(model, renderer, _name(folder, path), batch, progress)

    @classmethod
    def of(
        cls,
        model: Any,
        tokenizer_folder: str | Path,
        *,
        adapter: str | Path | None = None,
        batch: int | None = None,
        progress: Callable[[Progress], None] | None = None,
    ) -> Self:
        """A predictor of a model that is in memory: Transformers', PEFT's, or one that Unsloth loaded.

        The model is put into evaluation mode. Where Transformers' forward pass was replaced by another, every answer is
        computed with its whole prompt, because others do not go on from kept keys and values in the same way.

        Args:
            model: a causal language model.
            tokenizer_folder: the base's folder (``tokenizer.json``, its config, the chat template).
            adapter: folder of a PEFT adapter to put on it.
            batch, progress: as above.

        Raises:
            ModelError: it is no causal language model, or the folder has no tokenizer.
        """
        folder = Path(tokenizer_folder)
        renderer = FolderTokenizer(folder).renderer()
        made = cls.__new__(cls)
        if adapter is not None:
            model = adapted(model, Path(adapter))
        made._set(model.eval(), renderer, _name(folder, Path(adapter) if adapter else None), batch, progress)
        return made

    def _set(
        self,
        model: Any,
        renderer: ChatRenderer,
        name: str,
        batch: int | None,
        progress: Callable[[Progress], None] | None,
    ) -> None:
        if batch is not None and batch < 1:
            raise ScoringError(f"batch must be at least 1, not {batch}")
        inner = causal_model(model)
        self.name = name
        self.stats = Stats()
        """Work over all calls: tokens asked and computed (those that fill rows up included)."""
        self._passes: Passes | None = Passes(inner)
        kind = self._passes.device.type
        self._batch = batch or _BATCH.get(kind, _BATCH_GPU)
        self._overhead = _OVERHEAD.get(kind, _OVERHEAD_GPU)
        self._context = getattr(inner.config.get_text_config(), "max_position_embeddings", None)
        self._renderer = renderer
        self._tries: dict[tuple[int, ...], AnswerTrie] = {}
        self._progress = progress

    # --- prompts ----------------------------------------------------------------------------------------

    def stream(self, prompts: Sequence[Prompt]) -> Iterator[tuple[int, Result]]:
        """Results batch by batch, see ``Predictor``; identical prompts are computed once.

        Raises:
            ScoringError: the GPU's memory is too small for a batch, the predictor is closed, or a prompt asks for a
                reasoning first.
        """
        if self._passes is None:
            raise ScoringError(f"{self.name}: this predictor is closed")
        refuse_reasoning(prompts, self.name)
        passes, before, seconds = self._passes, self._passes.computed, self._passes.seconds
        faults: dict[int, ScoringError] = {}
        jobs = self._jobs(prompts, faults)
        yield from faults.items()
        asked = sum((len(job.ids) + len(job.trie.nodes) - 1) * len(job.numbers) for job in jobs)
        done = len(faults)
        for part in self._computed(passes, jobs):
            for job in part:
                result = self._result(job, len(prompts))
                done += len(job.numbers)
                yield from ((number, result) for number in job.numbers)
            if self._progress is not None:
                current = tuple(job.numbers[0] for job in part)
                self._progress(Progress(done, len(prompts), passes.computed - before, asked, current))
        work = Stats(len(prompts), len(jobs), asked, passes.computed - before, passes.seconds - seconds)
        self.stats += work

    def _jobs(self, prompts: Sequence[Prompt], faults: dict[int, ScoringError]) -> list[_Job]:
        """The different prompts, sorted by token ids; ``faults`` takes those that cannot be scored."""
        jobs: dict[tuple[object, ...], _Job] = {}
        for number, prompt in enumerate(prompts):
            try:
                ids, trie = self._rendered(prompt)
            except ScoringError as error:
                faults[number] = ScoringError(f"prompt {number + 1} of {len(prompts)}: {error}")
                continue
            key = (ids.astype(">u4").tobytes(), prompt.scale.values)  # big-endian bytes sort as numbers
            jobs.setdefault(key, _Job([], ids, trie)).numbers.append(number)
        return [jobs[key] for key in sorted(jobs)]

    def _rendered(self, prompt: Prompt) -> tuple[Ids, AnswerTrie]:
        values = prompt.scale.values
        if values is None:
            raise ScoringError(
                f"its scale is open or too wide to enumerate ({prompt.scale.low} to {prompt.scale.high}); only GGUF "
                "files score open scales: export the model, or declare the allowed values"
            )
        if values not in self._tries:
            answers = {value: self._renderer.answer_ids(value) for value in values}
            self._tries[values] = AnswerTrie(answers, self._renderer.end_id)
        trie = self._tries[values]
        try:
            f"{prompt.system}{prompt.user}".encode()  # the tokenizer's own error would not say what it is about
        except UnicodeEncodeError as error:
            raise ScoringError(f"its text is not valid Unicode: {error}") from error
        ids = self._renderer.prompt_ids(prompt)
        if self._context is not None and len(ids) + trie.depth > self._context:
            raise ScoringError(
                f"it has {len(ids)} tokens and {trie.depth} more for its answers, and the model takes "
                f"{self._context}; shorten the stimulus"
            )
        return np.array(ids, dtype=np.int32), trie

    def _result(self, job: _Job, total: int) -> Result:
        try:
            rows = [job.rows[node] for node in range(len(job.trie.nodes))]
            return normalised(job.trie.values, job.trie.log_probabilities(rows))
        except ScoringError as error:
            return ScoringError(f"prompt {job.numbers[0] + 1} of {total}: {error}")
        finally:
            job.rows.clear()

    # --- passes -----------------------------------------------------------------------------------------

    def _computed(self, passes: Passes, jobs: list[_Job]) -> Iterator[list[_Job]]:
        """The jobs in batches, their rows read."""
        beginning = Beginning(passes)
        for rows in batches([job.ids for job in jobs], self._batch, self._overhead):
            part = jobs[rows.start : rows.stop]
            if passes.shares:
                self._read_shared(passes, beginning, part, rows)
            else:
                self._read_whole(passes, part)
            yield part

    def _read_shared(self, passes: Passes, beginning: Beginning, part: list[_Job], rows: Rows) -> None:
        """Read what comes first after the common beginning, and what is left from the keys and values of that."""
        held = beginning.held(part[0].ids[: rows.shared], len(part))
        firsts = [(job, job.trie.leaves[0]) for job in part]
        cache = self._read(passes, firsts, rows.shared, held)
        others = [(at, leaf) for at, job in enumerate(part) for leaf in job.trie.leaves[1:]]
        most = max(1, HELD * self._batch // max(len(job.ids) + job.trie.depth for job in part))
        for start in range(0, len(others), most):
            chosen = others[start : start + most]
            held = passes.branched(cache, [(at, len(part[at].ids)) for at, _ in chosen])
            self._read(passes, [(part[at], leaf) for at, leaf in chosen], None, held)

    def _read_whole(self, passes: Passes, part: list[_Job]) -> None:
        """Read every path into the tries with its whole prompt before it."""
        leaves = [(job, leaf) for job in part for leaf in job.trie.leaves]
        most = max(1, self._batch // max(len(job.ids) + job.trie.depth for job in part))
        for start in range(0, len(leaves), most):
            self._read(passes, leaves[start : start + most], 0, None)

    def _read(self, passes: Passes, leaves: list[tuple[_Job, Leaf]], known: int | None, held: Any) -> Any:
        """Read the nodes of each leaf; ``known`` tokens of each prompt are held, None for all. The cache after that."""
        tokens, wanted = [], []
        for job, leaf in leaves:
            rest = job.ids[len(job.ids) if known is None else known :]
            tokens.append(np.concatenate([rest, np.array(leaf.path, dtype=np.int32)]))
            columns: Wanted = {
                len(rest) - 1 + depth: job.trie.columns[node] for depth, node in leaf.nodes.items()
            }
            wanted.append(columns)
        found, cache = passes.read(tokens, wanted, held)
        for (job, leaf), logs in zip(leaves, found, strict=True):
            job.rows.update(zip(leaf.nodes.values(), logs.values(), strict=True))
        return cache

    def close(self) -> None:
        """Let go of the model; safe to call again."""
        self._passes = None
        gc.collect()  # modules hold one another
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_available():
            torch.cuda.empty_cache()


def _name(folder: Path, adapter: Path | None) -> str:
    """What reports call the model: its folder, or the run that the adapter belongs to."""
    if adapter is None:
        return folder.absolute().name
    path = adapter.absolute()
    return path.parent.name if path.name == "adapter" else path.name
