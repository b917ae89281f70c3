"""All figures of one evaluation: what goes into metrics.json and what the report shows.

To add a figure: compute it per row in ``metrics`` and ``tally``, or per cell, give it a line in ``scored``, and say in
``figures`` how people read it; its interval, the baselines' values, the floor, the per-study table and metrics.json
follow.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from socrates_fast.evaluate import baselines
from socrates_fast.evaluate.answers import Answers
from socrates_fast.evaluate.effects import (
    Tasks,
    ceiling_estimates,
    effect_estimates,
    effects_frame,
    permutation_p,
    read_tasks,
)
from socrates_fast.evaluate.figures import BASELINES, DECISIVE, FIGURES, RIVALS, SKILLED
from socrates_fast.evaluate.notes import banners, notes
from socrates_fast.evaluate.predictions import Predictions
from socrates_fast.evaluate.ragged import Bools, Floats
from socrates_fast.evaluate.scored import Scored, score, score_cells, score_floor
from socrates_fast.evaluate.spread import moments
from socrates_fast.evaluate.uncertainty import DRAWS, LEVEL, SEED, Draws, Estimate, Sampled, Sampler, combine
from socrates_fast.evaluate.wasserstein import floor, published_wasserstein, stated_wasserstein

MIN_PEOPLE = 50
"""People below which a cell stays out of the headline: two samples of 50 are 0.06 apart, whatever a model does."""


@dataclass(frozen=True)
class Beside:
    """What an evaluation has besides the rows and their predictions.

    Attributes:
        training: people the model was trained on, for the baselines that learn; None if they are not at hand.
        base: predictions of the model before fine-tuning; None if not given.
        min_people: people below which a cell stays out of the headline.
        facts: what else metrics.json says, and ``notes`` warns of (rows left out, people seen in training).
    """

    training: Answers | None = None
    base: Predictions | None = None
    min_people: int = MIN_PEOPLE
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Summary:
    """The figures of one predictor.

    Attributes:
        metrics: the content of metrics.json.
        studies: one line a study: rows, cells, and the figures of that study's cells in the headline.
        cells: one line a cell: key, people, whether it is in the headline, distances, floor, human and predicted mean
            as shares of the range.
        effects: one line a pair of conditions, see ``effects.effects_frame``.
        scored: the predictor's sums and mixtures.
        chosen: the cells of the headline; shape (c,).
        estimates: the figures as sums over those cells.
        task_estimates: the figures as sums over tasks.
        tasks: the tasks with two or more conditions.
    """

    metrics: dict[str, Any]
    studies: pl.DataFrame
    cells: pl.DataFrame
    effects: pl.DataFrame
    scored: Scored
    chosen: Bools
    estimates: dict[str, Estimate]
    task_estimates: dict[str, Estimate]
    tasks: Tasks


class _Company:
    """Everything that predictors on the same rows have in common: draws, cells of the headline, tasks, the floor."""

    def __init__(self, answers: Answers, min_people: int) -> None:
        cells = answers.cells
        self.answers, self.studies = answers, len(answers.studies)
        large = cells.people >= min_people
        self.none_large = not large.any()
        self.chosen: Bools = large | self.none_large
        present = np.bincount(cells.study[self.chosen], minlength=self.studies) > 0
        self.draws = Draws(self.studies, present)
        self.tasks = read_tasks(cells, self.chosen)
        self.by_cell: Sampler = self.draws.over(cells.study[self.chosen])
        self.by_task: Sampler = self.draws.over(self.tasks.study)
        self.floor_estimates = score_floor(cells, self.studies, self.chosen)
        self.floor = self.sampled(self.floor_estimates, ceiling_estimates(self.tasks))

    def estimates(self, scored: Scored) -> dict[str, Estimate]:
        """A predictor's figures as sums over all cells, small ones too."""
        return scored.estimates(self.studies, self.chosen)

    def of(self, scored: Scored, estimates: dict[str, Estimate] | None = None) -> dict[str, Sampled]:
        """A predictor's figures with their draws; its ``estimates`` if they are known."""
        return self.sampled(estimates or self.estimates(scored), effect_estimates(self.tasks, scored.mean))

    def sampled(self, estimates: dict[str, Estimate], tasks: dict[str, Estimate]) -> dict[str, Sampled]:
        """Figures over the cells of the headline, and over tasks, with their draws."""
        chosen = {name: estimate.of(self.chosen) for name, estimate in estimates.items()}
        return self.by_cell.sample(chosen) | self.by_task.sample(tasks)

    def permutation(self, scored: Scored) -> dict[str, Any]:
        """The chance that its effects are none."""
        return {"effects.p": {"value": permutation_p(self.tasks, scored.mean)}}


def summarise(answers: Answers, predicted: Predictions, name: str, beside: Beside | None = None) -> Summary:
    """Compute every figure for a predictor and what stands beside it.

    Args:
        answers: what people answered.
        predicted: what was predicted for the same rows.
        name: the predictor's name.
        beside: what else is known.

    Raises:
        DataError: the predictions are not of these rows.
    """
    beside = beside or Beside()
    company = _Company(answers, beside.min_people)
    scored = score(answers, predicted, by_group=True)
    estimates = company.estimates(scored)
    own = company.of(scored, estimates)
    others, remarks = _others(answers, beside)
    sampled = {key: company.of(other) for key, other in others.items()}
    cells = _cells_frame(answers, scored, company.chosen)
    groups = scored.groups.figures(company.by_cell, company.chosen, company.studies) if scored.groups else {}
    metrics = {
        "predictor": name, "rows_sha256": answers.sha256,
        "rows": {"value": answers.height}, "cells": {"value": cells.height}, "studies": {"value": company.studies},
        "headline": _headline(answers, company, beside.min_people),
        **_ordered(own), **company.permutation(scored),
        "wasserstein.floor": company.floor["wasserstein.stated"].figure(),
        "floor": _ordered(company.floor), "skill": _skills(own, sampled["uniform"], company.floor),
        "baselines": {key: _ordered(one) | company.permutation(others[key]) for key, one in sampled.items()},
        "against": {key: _against(own, other) for key, other in sampled.items() if key in RIVALS},
        "groups": groups, "small_cells": _small(estimates, company),
        "intervals": {"draws": DRAWS, "seed": SEED, "level": LEVEL, "over": "studies, and cells within them"},
        **beside.facts,
    }  # fmt: skip
    metrics["banners"] = banners(metrics)
    metrics["notes"] = [*notes(metrics, answers, cells), *remarks]
    return Summary(
        metrics, _studies_frame(answers, estimates, scored, company), cells,
        effects_frame(answers.cells, company.tasks, scored.mean), scored, company.chosen,
        {key: one.of(company.chosen) for key, one in estimates.items()},
        effect_estimates(company.tasks, scored.mean), company.tasks,
    )  # fmt: skip


def figure_values(answers: Answers, predicted: Predictions) -> dict[str, float]:
    """Every figure that is a sum over cells and is defined for these rows, without intervals and baselines."""
    estimates = score(answers, predicted).estimates(len(answers.studies))
    return {name: item.value for name, item in estimates.items() if np.isfinite(item.value)}


def _ordered(sampled: dict[str, Sampled]) -> dict[str, Any]:
    return {name: sampled[name].figure() for name in FIGURES if name in sampled}


def _others(answers: Answers, beside: Beside) -> tuple[dict[str, Scored], list[str]]:
    """The baselines that these rows allow, and remarks on those that they do not."""
    cells, remarks = answers.cells, []
    truth = answers.truth is not None

    def of(distribution: Floats) -> Scored:
        if truth:  # distances to the truth are of rows
            return score(answers, baselines.ByCell(distribution))
        return score_cells(cells, distribution)

    found = {name: of(rule(cells)) for name, rule in baselines.SIMPLE.items()}
    training = beside.training
    if training is not None:
        distribution, covered = baselines.item_mean(cells, training.cells)
        share = float(cells.people[covered].sum() / cells.people.sum())
        if share >= baselines.LEAST_COVERED:
            found["item_mean"] = of(distribution)
        if 0 < share < 1:
            remarks.append(
                f"Training people answered {100 * share:.0f} % of these rows' questions"
                + (
                    "; for the others item_mean guesses."
                    if share >= baselines.LEAST_COVERED
                    else ", too few for item_mean."
                )
            )
        if training.groups:
            found["demographics"] = score(answers, baselines.Demographics.fit(training))
    if beside.base is not None:
        found["base"] = score(answers, beside.base)
    found["split_half"] = score_cells(*baselines.split_half(cells))
    oracle = baselines.oracle(answers)
    if oracle is not None:
        found["oracle"] = score(answers, oracle)
    return {name: found[name] for name in BASELINES if name in found}, remarks


def _headline(answers: Answers, company: _Company, min_people: int) -> dict[str, Any]:
    """Which rows the figures are over."""
    cells = answers.cells
    chosen = company.chosen
    return {
        "min_people": min_people, "all_cells_small": company.none_large, "cells": int(chosen.sum()),
        "rows": int(cells.people[chosen].sum()), "studies": len(np.unique(cells.study[chosen])),
        "tasks_with_conditions": len(company.tasks.conditions),
        "condition_pairs": int((company.tasks.conditions * (company.tasks.conditions - 1) // 2).sum()),
    }  # fmt: skip


def _skills(
    own: dict[str, Sampled], uniform: dict[str, Sampled], floors: dict[str, Sampled]
) -> dict[str, Any]:
    """(figure - uniform) / (floor - uniform): 0 is as good as guessing, 1 as good as such cells allow."""
    return {
        name: combine(_skill, [own[name], uniform[name], floors[name]]).figure()
        for name in SKILLED
        if name in own and name in floors
    }


def _against(own: dict[str, Sampled], other: dict[str, Sampled]) -> dict[str, Any]:
    """Paired differences to a baseline; draws are the same, so what both share cancels."""
    return {
        name: combine(lambda one, two: one - two, [own[name], other[name]]).figure()
        for name in DECISIVE
        if name in own and name in other
    }


def _skill(own: Any, uniform: Any, best: Any) -> Any:
    return (own - uniform) / (best - uniform)


def _small(estimates: dict[str, Estimate], company: _Company) -> dict[str, Any]:
    """The figures of the cells that are too small for the headline; without intervals."""
    small = ~company.chosen
    if not small.any():
        return {"cells": 0, "rows": 0}
    values = {name: estimates[name].of(small).value for name in FIGURES if name in estimates}
    people = company.answers.cells.people[small]
    return {"cells": int(small.sum()), "rows": int(people.sum())} | {
        name: {"value": value if np.isfinite(value) else None} for name, value in values.items()
    }


def _cells_frame(answers: Answers, scored: Scored, chosen: Bools) -> pl.DataFrame:
    cells = answers.cells
    human = cells.human
    _, mean, _ = moments(human.cell, human.answer, human.count.astype(np.float64), len(cells.people))
    return cells.keys.with_columns(
        people=pl.Series(cells.people),
        headline=pl.Series(chosen),
        stated=pl.Series(stated_wasserstein(cells, scored.mixture)),
        published=pl.Series(published_wasserstein(cells, scored.mixture)).fill_nan(None),
        floor=pl.Series(floor(cells)).fill_nan(None),
        human_mean=pl.Series((mean - cells.low) / cells.span),
        predicted_mean=pl.Series((scored.mean - cells.low) / cells.span),
    )


def _studies_frame(
    answers: Answers, estimates: dict[str, Estimate], scored: Scored, company: _Company
) -> pl.DataFrame:
    cells, studies = answers.cells, company.studies
    chosen = company.chosen
    shown = estimates | {"wasserstein.floor": company.floor_estimates["wasserstein.stated"]}
    columns = {
        name: pl.Series(item.of(chosen).by_study(cells.study[chosen], studies)).fill_nan(None)
        for name, item in shown.items()
    }
    effects = effect_estimates(company.tasks, scored.mean)["effects.correlation"]
    columns["effects.correlation"] = pl.Series(effects.by_study(company.tasks.study, studies)).fill_nan(None)
    return pl.DataFrame(
        {
            "study_id": answers.studies,
            "rows": np.bincount(cells.study, weights=cells.people, minlength=studies).astype(np.int64),
            "cells": np.bincount(cells.study, minlength=studies),
            **columns,
        }
    )
