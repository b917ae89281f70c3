"""Learn the distribution of answers in a cell, not one answer at a time: for cells with many people.

The target of a row is its cell's smoothed answer distribution q. Over the tokens of the answers it is a tree, and
KL(q || p) is the sum over the tree's nodes of q(node) KL(q(. | node) || p(. | node)), the chain rule of relative entropy.
A row passes the nodes on the way to its own answer, so over a cell's rows each node is passed q(node) times, and the mean
over rows of the KL at the nodes passed is the KL to q: one sequence a row, as with hard answers, and exact in expectation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from socrates_fast.data.prepared import answers_of, prompts_of
from socrates_fast.data.scales import Scale
from socrates_fast.data.schema import CELL
from socrates_fast.prompt import ChatRenderer, Example, Prompt
from socrates_fast.recipe import Recipe
from socrates_fast.recipe import Soft as Options
from socrates_fast.train.config import sft_config

Node = tuple[int, ...]
"""Tokens of an answer so far."""
Targets = dict[Node, dict[int, float]]
"""After each node, the probability of every token that the answers go on with."""


_GROUP = (
    *(pl.col(name) for name in (*CELL, "low", "high", "open")),
    pl.col("values").cast(pl.List(pl.String)).list.join(",").alias("levels"),
)
"""A cell with its scale."""


@dataclass(frozen=True)
class SoftExample(Example):
    """A sequence with a distribution in place of every supervised token.

    Attributes:
        target_ids: of each supervised position, the tokens that have probability there; a list of lists.
        target_weights: their probabilities, each list summing to 1.
    """

    target_ids: list[list[int]]
    target_weights: list[list[float]]


def examples(
    rows: pl.DataFrame, renderer: ChatRenderer, recipe: Recipe, side: pl.DataFrame
) -> list[SoftExample]:
    """One sequence a row, with its cell's distribution; cells with several scales have a distribution for each.

    Args:
        side: all rows whose answers make the distributions; ``rows`` are some of them.
    """
    prompts, answers = prompts_of(rows, recipe.prompt), answers_of(rows)
    keys = [tuple(key) for key in rows.select(_GROUP).iter_rows()]
    scales = dict(zip(keys, (prompt.scale for prompt in prompts), strict=True))
    counts: dict[tuple[Any, ...], dict[int, int]] = {key: {} for key in scales}
    for *group, answer, people in side.group_by(*_GROUP, "response").len().iter_rows():
        if tuple(group) in counts:
            counts[tuple(group)][answer] = people
    options = recipe.train.soft
    targets = {
        key: targets_of(distribution(counts[key], scales[key], options.smoothing), renderer) for key in counts
    }
    return [
        _example(prompt, answer, targets[key], renderer, options)
        for key, prompt, answer in zip(keys, prompts, answers, strict=True)
    ]


def distribution(counts: Mapping[int, int], scale: Scale, smoothing: float) -> dict[int, float]:
    """Probabilities of the answers that were given and, with ``smoothing``, of all that the scale allows.

    Args:
        counts: people by answer, at least one.
        scale: an open one is not smoothed, for it has no end.
        smoothing: answers that are added, spread evenly over the scale (a Dirichlet prior's).
    """
    values = scale.values or ()
    weights = dict.fromkeys(values, smoothing / len(values)) if smoothing and values else {}
    for answer, people in counts.items():
        weights[answer] = weights.get(answer, 0.0) + people
    total = sum(weights.values())
    return {answer: weight / total for answer, weight in sorted(weights.items())}


def targets_of(probabilities: Mapping[int, float], renderer: ChatRenderer) -> Targets:
    """Conditional distributions of the next token at every node of the answers, the token that ends one included."""
    found: Targets = {}
    for answer, probability in probabilities.items():
        path = (*renderer.answer_ids(answer), renderer.end_id)
        for depth, token in enumerate(path):
            following = found.setdefault(path[:depth], {})
            following[token] = following.get(token, 0.0) + probability
    return {
        node: {token: weight / sum(following.values()) for token, weight in following.items()}
        for node, following in found.items()
    }


def _example(
    prompt: Prompt, answer: int, targets: Targets, renderer: ChatRenderer, options: Options
) -> SoftExample:
    hard = renderer.example(prompt, answer)
    path = hard.input_ids[-hard.supervised :]
    mixed = [
        {token: (1 - options.own) * weight for token, weight in targets[tuple(path[:depth])].items()}
        for depth in range(len(path))
    ]
    for following, own in zip(mixed, path, strict=True):
        following[own] += options.own
    return SoftExample(
        hard.input_ids,
        hard.completion_mask,
        [list(each) for each in mixed],
        [list(each.values()) for each in mixed],
    )


def collate(rows: Sequence[Mapping[str, Any]], pad_id: int) -> dict[str, Any]:
    """A batch, padded on the right.

    Args:
        rows: columns of ``SoftExample``, with TRL's ``labels`` (-100 where no loss counts) for the mask.
        pad_id: fills sequences up.

    Returns:
        ``input_ids``, ``attention_mask``, ``labels``, each of shape (rows, longest);
        ``target_ids`` and ``target_weights`` of the supervised positions in order, shape (positions, most tokens), filled up
        with weights of zero.
    """
    import torch

    longest = max(len(row["input_ids"]) for row in rows)
    ids = np.full((len(rows), longest), pad_id, dtype=np.int64)
    attention, labels = np.zeros_like(ids), np.full_like(ids, -100)
    for at, row in enumerate(rows):
        length = len(row["input_ids"])
        ids[at, :length], attention[at, :length], labels[at, :length] = row["input_ids"], 1, row["labels"]
    batch = {"input_ids": ids, "attention_mask": attention, "labels": labels}
    batch["target_ids"] = _rectangle([each for row in rows for each in row["target_ids"]], np.int64)
    batch["target_weights"] = _rectangle([each for row in rows for each in row["target_weights"]], np.float32)
    return {name: torch.from_numpy(array) for name, array in batch.items()}


def _rectangle(lists: Sequence[Sequence[float]], kind: type) -> NDArray[Any]:
    filled: NDArray[Any] = np.zeros((len(lists), max(map(len, lists), default=0)), dtype=kind)
    for at, each in enumerate(lists):
        filled[at, : len(each)] = each
    return filled


def divergence(logits: Any, target_ids: Any, target_weights: Any) -> Any:
    """KL(target || model) at each position, in nats; shape (positions,).

    Args:
        logits: of the next token, shape (positions, vocabulary).
        target_ids: tokens, shape (positions, k).
        target_weights: their probabilities, shape (positions, k); zero fills up.
    """
    import torch

    logs = torch.log_softmax(logits.float(), dim=-1).gather(1, target_ids)
    return (torch.xlogy(target_weights, target_weights) - target_weights * logs).sum(-1)


def trainer(recipe: Recipe, checkpoints: Path, **of_trl: Any) -> Any:
    """TRL's ``SFTTrainer`` with the divergence as its loss, the mean over supervised positions."""
    from functools import partial

    from trl import SFTTrainer

    class SoftTrainer(SFTTrainer):  # type: ignore[misc]  # TRL is untyped here
        def compute_loss(
            self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> Any:
            target = {name: inputs.pop(name) for name in ("target_ids", "target_weights")}
            logits = model(**inputs, at_labels=True)
            losses = divergence(logits, **target)
            count = losses.numel() if num_items_in_batch is None else num_items_in_batch
            loss = losses.sum() / count
            if num_items_in_batch is not None:  # of all processes, whose gradients are averaged
                loss = loss * self.accelerator.num_processes
            return (loss, {"logits": logits}) if return_outputs else loss

    args = sft_config(recipe, checkpoints, of_trl["eval_dataset"] is not None)
    args.remove_unused_columns = False  # the targets are no argument of the model
    pad_id = of_trl["processing_class"].pad_token_id
    made = SoftTrainer(args=args, data_collator=partial(collate, pad_id=pad_id), **of_trl)
    logits_at_labels(made.model.get_base_model())
    return made


def logits_at_labels(causal: Any) -> None:
    """Let ``causal(..., labels=labels, at_labels=True)`` give the logits where the next token is a label, and only there.

    Shape (labels, vocabulary) in the order of the labels: a few positions a row, where all of them would take gigabytes.
    Inside ``forward``, so that what wraps the model (mixed precision, several GPUs) works as it does otherwise.
    """
    from functools import wraps

    plain = causal.forward
    cap = getattr(causal.config.get_text_config(), "final_logit_softcapping", None)  # Gemma 2's

    @wraps(plain)
    def forward(*arguments: Any, at_labels: bool = False, **options: Any) -> Any:
        if not at_labels:
            return plain(*arguments, **options)
        labels = options.pop("labels")
        hidden = causal.model(*arguments, **{**options, "use_cache": False})[0]
        head = causal.get_output_embeddings()
        logits = head(hidden[:, :-1][labels[:, 1:] != -100].to(head.weight.dtype))
        return logits if cap is None else (logits / cap).tanh() * cap

    causal.forward = forward
