"""Every figure of an evaluation: its words, which way is better, and one sentence of meaning."""

from typing import Literal, NamedTuple

Best = Literal["low", "high", "one"]
"""Where a figure is best: as low or as high as can be, or at 1."""


class Figure(NamedTuple):
    """How a figure is read.

    Attributes:
        label: its name for people.
        best: where it is best.
        meaning: one sentence.
        about: the part of a table it stands in.
    """

    label: str
    best: Best
    meaning: str
    about: str


DISTRIBUTIONS, PEOPLE, SHAPE, EFFECTS = (
    "Distributions",
    "Single answers",
    "Spread and calibration",
    "Treatment effects",
)

FIGURES = {
    "wasserstein.truth": Figure(
        "Wasserstein to the truth", "low",
        "Distance of each row's predicted distribution from the true one, stated range.", DISTRIBUTIONS,
    ),
    "wasserstein.stated": Figure(
        "Wasserstein, stated range", "low",
        "Distance of predicted from human answers per cell, as a share of the stated range.", DISTRIBUTIONS,
    ),
    "wasserstein.published": Figure(
        "Wasserstein, as published", "low",
        "The same with the range observed in the cell; only for comparing with published figures.", DISTRIBUTIONS,
    ),
    "ranked_probability": Figure(
        "Ranked probability score", "low",
        "Distance of the predicted distribution from the one answer that was given, as a share of the range; it does not reward the middle.",
        PEOPLE,
    ),
    "log_score": Figure(
        "Log score", "low", "-ln of the probability given to the answer, in nats.", PEOPLE,
    ),
    "brier": Figure(
        "Brier score", "low", "Squared error of the probabilities of all answers, 0 to 2.", PEOPLE,
    ),
    "exact_match": Figure(
        "Exact match", "high", "Probability that was given to the very answer.", PEOPLE,
    ),
    "accuracy": Figure(
        "Accuracy (drawn answer)", "high",
        "1 - error of an answer drawn from the prediction. Rewards collapsing to the middle.", PEOPLE,
    ),
    "accuracy_median": Figure(
        "Accuracy (median answer)", "high",
        "1 - error of the predicted median, as a share of the stated range. Rewards the middle too.", PEOPLE,
    ),
    "mae": Figure(
        "MAE of the mean", "low", "Mean error of the expected answer, as a share of the range.", PEOPLE,
    ),
    "rmse": Figure(
        "RMSE of the mean", "low", "Root mean squared error of the expected answer, likewise.", PEOPLE,
    ),
    "correlation": Figure(
        "Correlation", "high",
        "Pearson correlation of expected and human answers as shares of the range, over rows. Mostly questions that differ.",
        PEOPLE,
    ),
    "spearman": Figure("Rank correlation", "high", "Spearman correlation of the same.", PEOPLE),
    "correlation_within": Figure(
        "Correlation within cells", "high",
        "The same after subtracting each cell's means: who answers higher than others who were asked the same.", PEOPLE,
    ),
    "spearman_within": Figure(
        "Rank correlation within cells", "high", "Correlation of ranks within cells.", PEOPLE,
    ),
    "sd_ratio": Figure(
        "SD ratio", "one", "Predicted over human standard deviation per cell; below 1 is too narrow.", SHAPE,
    ),
    "entropy_ratio": Figure(
        "Entropy ratio", "one", "Predicted over human entropy per cell; below 1 is too sure.", SHAPE,
    ),
    "calibration.places": Figure(
        "Uneven places", "low",
        "How unevenly answers fall into the predicted distribution (probability integral transform): 0 is calibrated, 0.9 the worst.",
        SHAPE,
    ),
    "calibration.confidence": Figure(
        "Calibration error", "low",
        "Mean difference between the likeliest answer's probability and how often it is given.", SHAPE,
    ),
    "answer_mass": Figure(
        "Answer mass", "high", "Probability that the predictor answers on the scale at all.", SHAPE,
    ),
    "impossible": Figure(
        "Impossible answers", "low", "Share of answers that were given a probability below one in a million.", SHAPE,
    ),
    "effects.correlation": Figure(
        "Correlation of effects", "high",
        "Of predicted and human differences between conditions of a task, through the origin.", EFFECTS,
    ),
    "effects.sign": Figure(
        "Right sign", "high", "Share of pairs of conditions whose difference has the right sign; chance is 0.5.", EFFECTS,
    ),
    "effects.sign_clear": Figure(
        "Right sign, clear effects", "high",
        "The same where people's difference is at least 1.96 standard errors.", EFFECTS,
    ),
    "effects.slope": Figure(
        "Slope", "one", "Human effect for one unit of predicted effect; below 1, effects are predicted too large.", EFFECTS,
    ),
    "effects.sensitivity": Figure(
        "Condition sensitivity", "one",
        "Spread of predicted over that of human effects; 0 is a model that does not see the condition.", EFFECTS,
    ),
}  # fmt: skip
"""By name, in the order in which tables show them."""

SKILLED = (
    "wasserstein.stated", "wasserstein.published", "ranked_probability", "log_score", "brier", "exact_match",
    "accuracy", "accuracy_median", "mae", "rmse",
)  # fmt: skip
"""Figures that have a skill score: 0 is uniform guessing, 1 the floor."""

BASELINES = {
    "uniform": "guesses without any knowledge",
    "midpoint": "always says the middle of the scale",
    "pooled": "knows how these people answered, not the condition",
    "item_mean": "what training people answered to the same question",
    "demographics": "training people's answers by demographics, the question unread",
    "base": "the model before fine-tuning",
    "split_half": "half of the people predict the other half",
    "oracle": "the true distributions: the best that is possible",
}
"""What stands beside every figure, in the order in which tables show them."""

RIVALS = ("uniform", "midpoint", "item_mean", "demographics", "base")
"""Baselines that know no answer of the people who are predicted: a model that is no better than them has learned nothing."""

DECISIVE = ("wasserstein.stated", "ranked_probability")
"""Figures by which a predictor is held against them."""
