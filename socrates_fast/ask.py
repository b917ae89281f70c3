"""One question to one person or to several, by hand: the verb ``predict``."""

import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from socrates_fast.data.scales import Scale, declared_scale, parse_scale
from socrates_fast.data.table_layout import nearest
from socrates_fast.errors import DataError, ModelError, ScoringError
from socrates_fast.examples import EXAMPLES
from socrates_fast.infer import AnswerDistribution, Predictor, load_predictor, trained_prompt
from socrates_fast.people import Person, parse_demographics
from socrates_fast.prompt import Prompt, user_text
from socrates_fast.recipe import PromptOptions

MOST_FAULTS = 8


@dataclass(frozen=True)
class Question:
    """A question to people.

    Attributes:
        scenario: the stimulus, with its answer instruction.
        scale: the allowed answers.
        people: who is asked; one at least.
    """

    scenario: str
    scale: Scale
    people: tuple[Person, ...]

    @classmethod
    def of(cls, scenario: str, people: Sequence[Person], scale: str | None = None) -> Self:
        """A question from its texts.

        Args:
            scenario: the stimulus.
            people: who is asked.
            scale: as for ``declared_scale``; None for what the scenario's instruction states.

        Raises:
            DataError: the instruction states no scale and none is declared, or the scenario is empty.
        """
        if not scenario.strip():
            raise DataError("the scenario is empty")
        found = declared_scale(scale) if scale is not None else parse_scale(scenario)
        if found is None:
            raise DataError(
                "the scenario states no scale; end it with an instruction such as "
                "'Only return an integer from 1 to 7, where 1 means ... and 7 means ..., nothing else.' "
                "or 'Only return 1 for Yes or 2 for No, nothing else.', or declare it: --scale 1-7, 1,2,4 or open"
            )
        return cls(scenario, found, tuple(people))

    @classmethod
    def built_in(cls, number: int) -> Self:
        """Built-in example ``number``, from 1."""
        example = EXAMPLES[number - 1]
        return cls.of(example.scenario, [Person(parse_demographics(example.demographics))])

    @property
    def demographic(self) -> dict[str, str]:
        """Persona fields of the first person."""
        return self.people[0].demographic

    def prompts(self, options: PromptOptions) -> list[Prompt]:
        """What the model is shown, person by person; every field that was typed is."""
        return [
            Prompt(
                options.system,
                user_text(person.persona(options.fields), self.scenario, options.order),
                self.scale,
                reasons=options.reasoning,
            )
            for person in self.people
        ]

    def notes(self, options: PromptOptions) -> list[str]:
        """What to know before believing the answer."""
        typed = dict.fromkeys(name for person in self.people for name in person.demographic)
        notes = [_unseen(name, options.fields) for name in typed if name not in options.fields]
        notes += [
            f"{value!r} looks like more than one field; separate fields with ';'"
            for value in dict.fromkeys(text for person in self.people for text in person.demographic.values())
            if re.search(r",\s*[^,:]+: ", value)
        ]
        stated = parse_scale(self.scenario)
        if stated and (stated.low, stated.high, stated.values) != (
            self.scale.low, self.scale.high, self.scale.values
        ):  # fmt: skip
            notes.append("--scale declares other answers than the scenario's instruction; --scale counts")
        return notes


def _unseen(name: str, fields: Sequence[str]) -> str:
    near = nearest(name, fields)
    hint = f" (did you mean {near}?)" if near else ""
    return f"the model never saw the persona field {name!r} in training{hint}; it is shown as typed"


@dataclass(frozen=True)
class Sampling:
    """Answers to draw as free text besides: how many of each person, and how."""

    draws: int
    temperature: float = 0.6
    top_p: float = 0.9
    seed: int = 0


@dataclass(frozen=True)
class Drawn:
    """What was drawn of one person: the texts, and the integers that they are (None for none on the scale)."""

    texts: tuple[str, ...]
    answers: tuple[int | None, ...]


@dataclass(frozen=True)
class Answered:
    """A question's answers.

    Attributes:
        model: who answered.
        question: what was asked.
        prompts: what the model was shown, by person.
        options: how prompts are rendered.
        distributions: by person.
        drawn: by person, where answers were drawn; else empty.
        sampling: how they were.
    """

    model: str
    question: Question
    prompts: tuple[Prompt, ...]
    options: PromptOptions
    distributions: tuple[AnswerDistribution, ...]
    drawn: tuple[Drawn, ...] = ()
    sampling: Sampling | None = None


def ask(
    model: str,
    question: Question,
    as_json: bool,
    out: Path | None = None,
    sampling: Sampling | None = None,
    adapter: Path | None = None,
    **settings: Any,
) -> Answered:
    """Predict and print: a chart, a table of people, or one JSON document on stdout.

    Args:
        model: as for ``load_predictor``.
        question: what is asked of whom.
        as_json: print the document and nothing else on stdout.
        out: a .csv, .parquet or .jsonl to write all answers to.
        sampling: also draw answers as free text.
        adapter: for a Hugging Face folder.
        settings: of the predictor.

    Raises:
        DataError: ``out`` has another ending.
        ModelError: the model cannot be used, or cannot draw.
        ScoringError: a person's answer cannot be predicted; all of them are named.
    """
    from socrates_fast import ask_output

    if out is not None:
        ask_output.check_ending(out)
    options = trained_prompt(model, adapter)
    for note in question.notes(options):
        print(f"note: {note}", file=sys.stderr)
    prompts = question.prompts(options)
    if adapter is not None:
        settings["adapter"] = adapter
    with load_predictor(model, **settings) as predictor:
        found = _distributions(predictor, question, prompts)
        drawn = _draw(predictor, prompts, sampling) if sampling else ()
        for note in predictor.notes:
            print(f"note: {note}", file=sys.stderr)
    answered = Answered(model, question, tuple(prompts), options, found, drawn, sampling)
    if out is not None:
        ask_output.write(out, answered)
    if as_json:
        print(json.dumps(ask_output.document(answered), ensure_ascii=False))
    else:
        ask_output.show(answered)
    return answered


def _distributions(
    predictor: Predictor, question: Question, prompts: Sequence[Prompt]
) -> tuple[AnswerDistribution, ...]:
    if len(prompts) == 1:
        return tuple(predictor.predict(prompts))
    found: dict[int, AnswerDistribution] = {}
    faults = []
    for number, result in predictor.stream(prompts):
        if isinstance(result, ScoringError):
            faults.append(f"{question.people[number].name}: {result}")
        else:
            found[number] = result
    if faults:
        more = len(faults) - MOST_FAULTS
        listed = [*faults[:MOST_FAULTS], *([f"... and {more} more people"] if more > 0 else [])]
        raise ScoringError("\n".join(listed))
    return tuple(found[number] for number in range(len(prompts)))


def _draw(predictor: Predictor, prompts: Sequence[Prompt], sampling: Sampling) -> tuple[Drawn, ...]:
    from socrates_fast.infer.gguf_model import GgufPredictor

    if not isinstance(predictor, GgufPredictor):
        raise ModelError(f"{predictor.name}: answers can be drawn from a .gguf only; leave out --sample")
    draws = predictor.sample(
        prompts, sampling.draws, temperature=sampling.temperature, top_p=sampling.top_p, seed=sampling.seed
    )
    return tuple(Drawn(each.texts, each.answers) for each in draws)
