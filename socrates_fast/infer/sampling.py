"""Answers drawn as free text, as published practice has it: to compare with, not to be preferred.

A draw depends on the seed, the prompt and its own number, and on nothing else of the job.
"""

import re
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from socrates_fast.data.scales import Scale
from socrates_fast.infer.messages import Draws, Sample
from socrates_fast.infer.predictor import AnswerDistribution
from socrates_fast.infer.trie import TokenPath

_ANSWER = re.compile(r"\s*(-?[0-9]{1,18})\.?\s*")

ReadRows = Callable[[list[TokenPath]], Mapping[TokenPath, NDArray[np.float64]]]
"""Log probabilities of the whole vocabulary after each of some token paths that follow the prompt."""


def read_answer(text: str, scale: Scale) -> int | None:
    """The integer that ``text`` is, a full stop after it allowed, if the scale allows it; else None."""
    found = _ANSWER.fullmatch(text)
    if found is None:
        return None
    value = int(found[1])
    allowed = scale.low <= value <= scale.high if scale.values is None else value in scale.values
    return value if allowed else None


def draw(
    request: Sample, prompt_ids: NDArray[np.int32], most: int, rows: ReadRows, ends: Callable[[int], bool]
) -> list[TokenPath]:
    """Token ids of ``request.draws`` answers to one prompt, without the token that ended them.

    Args:
        request: how to draw.
        prompt_ids: the prompt; (n,).
        most: tokens of an answer at most.
        rows: reads the model.
        ends: whether a token ends an answer.
    """
    seeds = (request.seed, *prompt_ids.tolist())
    generators = [np.random.default_rng((*seeds, number)) for number in range(request.draws)]
    paths: list[TokenPath] = [()] * request.draws
    live = set(range(request.draws))
    for _ in range(most):
        if not live:
            break
        logs = rows(sorted({paths[number] for number in live}))
        nuclei = {path: nucleus(row, request.temperature, request.top_p) for path, row in logs.items()}
        for number in sorted(live):
            tokens, cumulated = nuclei[paths[number]]
            at = int(np.searchsorted(cumulated, generators[number].random(), side="right"))
            token = int(tokens[min(at, len(tokens) - 1)])
            if ends(token):
                live.discard(number)
            else:
                paths[number] = (*paths[number], token)
    return paths


def nucleus(
    logs: NDArray[np.float64], temperature: float, top_p: float
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The tokens that are drawn from, likeliest first, and their cumulated probabilities, the last 1.

    Temperature first, then the fewest tokens that have ``top_p`` together (Holtzman et al. 2020, arXiv 1904.09751).
    """
    scaled = (logs - logs.max()) / temperature
    weights = np.exp(scaled)
    weights /= weights.sum()
    # Those below this have less than 1 - top_p together, so the others suffice.
    tokens = np.flatnonzero(weights >= (1 - top_p) / len(weights))
    tokens = tokens[np.argsort(-weights[tokens], kind="stable")]
    cumulated = np.cumsum(weights[tokens])
    count = int(np.searchsorted(cumulated, top_p)) + 1
    kept = cumulated[:count] / cumulated[:count][-1]
    return tokens[:count], kept


def drawn_distribution(draws: Draws, scale: Scale) -> AnswerDistribution | None:
    """Shares of the draws that are allowed answers; None if none is. What was not drawn is not known."""
    answers = [answer for answer in draws.answers if answer is not None]
    if not answers:
        return None
    given, counts = np.unique(np.array(answers, dtype=np.int64), return_counts=True)
    values = given if scale.values is None else np.array(scale.values, dtype=np.int64)
    shares = np.zeros(len(values))
    shares[np.searchsorted(values, given)] = counts / len(answers)
    return AnswerDistribution(values, shares, len(answers) / len(draws.answers), float("nan"))
