"""The one prompt renderer: training, export checks and scoring all call it.

It yields token ids and where the answer starts. The chat template's own pieces are tokenised with special
tokens on; persona and stimulus with special tokens off, so that nothing a respondent or a researcher wrote
can become a control token. Training and scoring get the same ids because both come from here.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from unicodedata import normalize

from socrates_fast.data.scales import Scale
from socrates_fast.errors import ModelError
from socrates_fast.recipe import PERSONA_FIELDS, Order

PERSONA_HEAD = "You are a survey respondent with the following demographic profile:"
TASK_HEAD = (
    "Read the question below and answer exactly as this person would. "
    "Follow the response instructions precisely."
)

PROMPT_KEY = "socrates_fast.prompt"
"""GGUF metadata key of the prompt options that a model was trained with, as JSON."""

Tokenize = Callable[[str, bool], list[int]]
"""``tokenize(text, special)``: ids of ``text``; ``special`` says whether control tokens in it are recognised."""


@dataclass(frozen=True)
class Prompt:
    """One question to one person.

    Attributes:
        system: the system line ("" for none).
        user: persona and stimulus, as the respondent is asked.
        scale: the answers that the question allows.
    """

    system: str
    user: str
    scale: Scale


@dataclass(frozen=True)
class Example:
    """One supervised sequence: ``input_ids`` and, of the same length, 1 where the loss counts."""

    input_ids: list[int]
    completion_mask: list[int]


def persona_text(demographic: Mapping[str, Any], fields: Sequence[str] = PERSONA_FIELDS) -> str:
    """The persona as bullets ("- Party Id: Lean Democrat"); fields that are null or not asked for are left out."""
    bullets = [
        f"- {name.replace('_', ' ').title()}: {demographic[name]}"
        for name in fields
        if demographic.get(name) is not None
    ]
    return "\n".join([PERSONA_HEAD, *bullets])


def user_text(persona: str, stimulus: str, order: Order) -> str:
    """The user turn: persona first (as published) or stimulus first (which people of one cell share)."""
    if order == "persona_first":
        return f"{persona}\n\n{TASK_HEAD}\n\n{stimulus.strip()}"
    return f"{TASK_HEAD}\n\n{stimulus.strip()}\n\n{persona}"


_SLOTS = {"system": "\ue000system\ue001", "user": "\ue000user\ue001", "answer": "\ue000answer\ue001"}


class ChatRenderer:
    """Renders prompts to token ids with a model's chat template.

    Args:
        template: the Jinja chat template.
        tokenize: the model's tokenizer; never adds BOS or EOS by itself.
        variables: ``bos_token`` and ``eos_token`` as text, for the template.

    Raises:
        ModelError: the template cannot be rendered, or it does not close the assistant's turn with a token.
    """

    def __init__(self, template: str, tokenize: Tokenize, variables: Mapping[str, str]) -> None:
        self._template = template
        self._variables = dict(variables)
        self.tokenize = tokenize
        self._pieces = {with_system: self._split(with_system) for with_system in (True, False)}
        closing = self.tokenize(self._pieces[False][-1], True)
        if not closing:
            raise ModelError("the chat template writes nothing after the assistant's answer")
        self.end_id = closing[0]
        """The token that ends an answer (``<|im_end|>`` in ChatML)."""

    def _split(self, with_system: bool) -> list[str]:
        """The template's own text around the slots: before system, before user, before answer, after."""
        messages = [{"role": "system", "content": _SLOTS["system"]}] if with_system else []
        messages += [
            {"role": "user", "content": _SLOTS["user"]},
            {"role": "assistant", "content": _SLOTS["answer"]},
        ]
        rest = render_template(self._template, messages, self._variables)
        pieces = []
        for slot in ("system", "user", "answer") if with_system else ("user", "answer"):
            head, found, rest = rest.partition(_SLOTS[slot])
            if not found:
                raise ModelError(f"the chat template does not print the {slot} turn as it is")
            pieces.append(head)
        return [*pieces, rest]

    def prompt_ids(self, prompt: Prompt) -> list[int]:
        """Token ids of the prompt, up to and without the answer's first token."""
        pieces = self._pieces[bool(prompt.system)]
        texts = [prompt.system, prompt.user] if prompt.system else [prompt.user]
        ids: list[int] = []
        for piece, text in zip(pieces, texts, strict=False):
            # llama.cpp does not compose accents as Qwen's own tokenizer does, so it is done before both.
            ids += self.tokenize(piece, True) + self.tokenize(normalize("NFC", text), False)
        return ids + self.tokenize(pieces[-2], True)

    def answer_ids(self, answer: int) -> list[int]:
        """Token ids of an answer as bare integer, without the token that ends it."""
        return self.tokenize(str(answer), False)

    def example(self, prompt: Prompt, answer: int) -> Example:
        """The sequence to train on; the loss counts on the answer and the token that ends it, nothing else."""
        ids = self.prompt_ids(prompt)
        completion = [*self.answer_ids(answer), self.end_id]
        return Example(ids + completion, [0] * len(ids) + [1] * len(completion))


def render_template(
    template: str, messages: Sequence[Mapping[str, str]], variables: Mapping[str, str]
) -> str:
    """Render a Hugging Face chat template in the sandbox that Transformers uses.

    Raises:
        ModelError: the template is not valid Jinja, or refuses the messages.
    """
    from jinja2 import TemplateError
    from jinja2.ext import loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def raise_exception(message: str) -> None:
        raise TemplateError(message)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols]
    )
    environment.globals["raise_exception"] = raise_exception
    try:
        return environment.from_string(template).render(
            messages=list(messages), add_generation_prompt=False, **variables
        )
    except TemplateError as error:
        raise ModelError(f"the chat template cannot be rendered: {error}") from error
