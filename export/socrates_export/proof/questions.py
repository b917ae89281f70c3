"""What the original model and a GGUF are both asked: prompts, and what is read after them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from socrates_fast.infer.trie import AnswerTrie
from socrates_fast.prompt import ChatRenderer, Prompt

POSITIONS = 64
"""Most positions of one prompt whose logits are compared; they are spread evenly and include the last."""


@dataclass(frozen=True)
class Question:
    """One prompt.

    Attributes:
        number: of the prompt among those given, from 0.
        prompt: the prompt.
        ids: its token ids.
        positions: those after which logits are compared; none of most prompts.
        trie: its answers, if their probabilities are compared.
    """

    number: int
    prompt: Prompt
    ids: list[int]
    positions: list[int]
    trie: AnswerTrie | None

    @property
    def longest(self) -> int:
        """Most tokens that are computed for it in a row."""
        return len(self.ids) + (self.trie.depth if self.trie else 0)

    def as_task(self) -> dict[str, Any]:
        """As JSON values, for a child process."""
        nodes = [list(path) for path in self.trie.nodes] if self.trie else []
        columns = [column.tolist() for column in self.trie.columns] if self.trie else []
        return {"ids": self.ids, "positions": self.positions, "nodes": nodes, "columns": columns}


def make_questions(
    renderer: ChatRenderer, prompts: Sequence[Prompt], logits: int, answers: int
) -> list[Question]:
    """A question of each prompt.

    Args:
        renderer: the original model's.
        prompts: what is asked.
        logits: on how many of them logits are compared.
        answers: on how many of them answers are compared; those with an open scale never are.
    """
    with_logits, with_answers = spread(len(prompts), logits), spread(len(prompts), answers)
    return [
        _question(renderer, number, prompts[number], number in with_logits, number in with_answers)
        for number in sorted({*with_logits, *with_answers})
    ]


def _question(renderer: ChatRenderer, number: int, prompt: Prompt, logits: bool, answers: bool) -> Question:
    ids = renderer.prompt_ids(prompt)
    values = prompt.scale.values if answers else None
    trie = None
    if values is not None:
        trie = AnswerTrie({value: renderer.answer_ids(value) for value in values}, renderer.end_id)
    return Question(number, prompt, ids, spread(len(ids), POSITIONS) if logits else [], trie)


def spread(count: int, most: int) -> list[int]:
    """At most ``most`` of the numbers below ``count``, evenly spread, the last among them."""
    return [int(number) for number in np.unique(np.linspace(count - 1, 0, min(count, most)).round())]
