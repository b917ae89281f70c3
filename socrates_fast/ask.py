"""One question to one model by hand: the verb ``predict``."""

import json
import sys
from dataclasses import dataclass
from typing import Any, Self

from socrates_fast.data.prepare import make_prompt
from socrates_fast.data.scales import Scale, parse_scale
from socrates_fast.errors import DataError
from socrates_fast.examples import EXAMPLES
from socrates_fast.infer import AnswerDistribution, load_predictor, trained_prompt


@dataclass(frozen=True)
class Question:
    """A question to a person.

    Attributes:
        demographic: persona field to its value.
        scenario: the stimulus, with its answer instruction.
        scale: the answers that the instruction allows.
    """

    demographic: dict[str, str]
    scenario: str
    scale: Scale

    @classmethod
    def of(cls, scenario: str, demographics: str) -> Self:
        """A question from its texts.

        Raises:
            DataError: the instruction states no scale, or the demographics are not ``Field: value`` pairs.
        """
        scale = parse_scale(scenario)
        if scale is None or scale.values is None:
            raise DataError(
                "the scenario states no closed scale; end it with an instruction such as "
                "'Only return an integer from 1 to 7, where 1 means ... and 7 means ..., nothing else.' "
                "or 'Only return 1 for Yes or 2 for No, nothing else.'"
            )
        return cls(parse_demographics(demographics), scenario, scale)

    @classmethod
    def built_in(cls, number: int) -> Self:
        """Built-in example ``number``, from 1."""
        example = EXAMPLES[number - 1]
        return cls.of(example.scenario, example.demographics)


def parse_demographics(text: str) -> dict[str, str]:
    """``"Age: 30; Party Id: Independent"`` to ``{"age": "30", "party_id": "Independent"}``.

    Raises:
        DataError: a part is not ``Field: value``.
    """
    persona = {}
    for part in filter(None, (part.strip() for part in text.split(";"))):
        name, colon, value = part.partition(":")
        if not colon or not name.strip() or not value.strip():
            raise DataError(f"demographics: {part!r} is not 'Field: value'; separate the fields with ';'")
        persona[name.strip().lower().replace(" ", "_")] = value.strip()
    return persona


def ask(model: str, question: Question, as_json: bool, **settings: Any) -> AnswerDistribution:
    """Predict and print the answer distribution: a bar chart, or one JSON document on stdout."""
    options = trained_prompt(model)
    typed = [name for name in question.demographic if name not in options.fields]
    options = options.model_copy(update={"fields": (*options.fields, *typed)})  # what was typed is shown
    prompt = make_prompt(question.demographic, question.scenario, question.scale, options)
    with load_predictor(model, **settings) as predictor:
        distribution = predictor.predict([prompt])[0]
    if as_json:
        print(json.dumps(as_document(model, distribution)))
        return distribution
    from socrates_fast.infer.chart import print_chart

    print(prompt.user, end="\n\n", file=sys.stdout)
    print_chart(distribution, question.scale.labels)
    return distribution


def as_document(model: str, distribution: AnswerDistribution) -> dict[str, Any]:
    """The distribution as JSON-able values."""
    return {
        "model": model,
        "values": distribution.values.tolist(),
        "probabilities": [round(p, 9) for p in distribution.probabilities.tolist()],
        "answer_mass": distribution.answer_mass,
        "mean": distribution.mean,
        "median": distribution.median,
        "mode": distribution.mode,
    }
