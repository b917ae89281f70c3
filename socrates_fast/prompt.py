"""The one prompt renderer: training, export checks and scoring all call it.

It yields token ids and where the answer starts. The chat template's own pieces are tokenised with special
tokens on; persona and stimulus with special tokens off, so that nothing a respondent or a researcher wrote
can become a control token. Training and scoring get the same ids because both come from here.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Any
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray

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
        opening: what the model has said already, before its answer (``opening_of``).
        reasons: whether the model is to reason before it answers; where an ``opening`` is given, it has.
    """

    system: str
    user: str
    scale: Scale
    opening: str = ""
    reasons: bool = False


@dataclass(frozen=True)
class Example:
    """One supervised sequence: ``input_ids`` and, of the same length, 1 where the loss counts."""

    input_ids: list[int]
    completion_mask: list[int]

    @property
    def tokens(self) -> int:
        """Tokens of the sequence."""
        return len(self.input_ids)

    @property
    def supervised(self) -> int:
        """Tokens on which the loss counts."""
        return sum(self.completion_mask)


REASONING_ENDS = "\n\n"
"""What stands between a reasoning, one paragraph, and the answer."""


def opening_of(reasoning: str) -> str:
    """A reasoning as the model says it before an answer: one paragraph, and an empty line."""
    return " ".join(reasoning.split()) + REASONING_ENDS


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


_NEW_PARAGRAPH = re.compile(r"(?<=\n\n)(?=[^\s/])")
"""Where a text may be cut; some tokenizers join a full stop, line ends and slashes."""

_REMEMBERED = 4096
"""Paragraphs whose token ids are remembered."""

_SLOTS = {"system": "\ue000system\ue001", "user": "\ue000user\ue001", "answer": "\ue000answer\ue001"}
_ROLES = {"system": "system", "user": "user", "answer": "assistant"}

TODAY = date(2024, 7, 26)
"""What a template that asks is told. Llama's own templates fall back on this day, and a prompt must not change
between training and asking."""


class ChatRenderer:
    """Renders prompts to token ids with a model's chat template.

    A template that refuses a system line, or leaves it out, is given it as the beginning of the user's turn, with an
    empty line between. The pieces of the template are those of a finished conversation, so where a template
    would open an answer with room for thinking, the answer is trained and read without any.

    A space where the template's text meets ours goes to the text after it, as it does when the whole is tokenised at
    once; a tokenizer that puts a space before each text by itself gets none besides.

    A user's text is tokenised paragraph by paragraph, and what was tokenised is remembered: persona and stimulus recur
    over the rows of a survey. A tokenizer that joins an empty line and the word after it is given the whole text.

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
        self._ids = lru_cache(maxsize=_REMEMBERED)(
            lambda text, special: np.array(tokenize(text, special), dtype=np.int32)
        )
        self._pieces = {False: self._split(False)}
        closing = self.tokenize(self.pieces(False)[-1].lstrip(), True)
        if not closing:
            raise ModelError("the chat template writes nothing after the assistant's answer")
        self.end_id = closing[0]
        """The token that ends an answer (``<|im_end|>`` in ChatML)."""
        # A newline is one token, except to a tokenizer that puts a space before each text.
        self._space_prefix = len(self.tokenize("\n", False)) > 1
        # GPT-2's joins the last line end and the word.
        self._by_paragraph = not self._space_prefix and self.tokenize("a.\n\nb", False) == [
            *self.tokenize("a.\n\n", False),
            *self.tokenize("b", False),
        ]
        self._own_texts = lru_cache(self._cut_texts)

    def pieces(self, with_system: bool) -> list[str]:
        """The template's own text: before the system line (if ``with_system``), the user's, the answer, and after it."""
        if with_system not in self._pieces:
            self._pieces[with_system] = self._split(with_system)
        return self._pieces[with_system]

    def _split(self, with_system: bool) -> list[str]:
        if not with_system:
            return self._cut(("user", "answer"))
        before, after, closing = self.pieces(False)
        # Some templates print the system line in the last turn only, and only if that is the user's.
        for slots, generation, rest in (
            (("system", "user", "answer"), False, []),
            (("system", "user"), True, [closing]),
        ):
            with suppress(ModelError):
                return [*self._cut(slots, generation), *rest]
        return [before, "\n\n", after, closing]

    def _cut(self, slots: Sequence[str], generation: bool = False) -> list[str]:
        """The template's text before each of the slots, and after the last."""
        messages = [{"role": _ROLES[slot], "content": _SLOTS[slot]} for slot in slots]
        rest = render_template(self._template, messages, self._variables, generation)
        pieces = []
        for slot in slots:
            head, found, rest = rest.partition(_SLOTS[slot])
            if not found:
                raise ModelError(f"the chat template does not print the {slot} turn as it is")
            pieces.append(head)
        return [*pieces, rest]

    def prompt_ids(self, prompt: Prompt) -> list[int]:
        """Token ids of the prompt, up to and without the answer's first token."""
        return list(self.prompt_array(prompt).tolist())

    def prompt_array(self, prompt: Prompt) -> NDArray[np.int32]:
        """The same as an array, (n,)."""
        return np.concatenate([*self._asked(prompt), *self._said(prompt)])

    def _asked(self, prompt: Prompt) -> list[NDArray[np.int32]]:
        """Token ids up to the model's turn, piece by piece."""
        return [self._ids(text, special) for text, special in self._segments(prompt)]

    def _said(self, prompt: Prompt) -> list[NDArray[np.int32]]:
        """Token ids of the model's own words before its answer; no piece where there are none."""
        if not prompt.opening:
            return []
        _, space = self._own_texts(bool(prompt.system))[-1]
        return [self._ids(space + normalize("NFC", prompt.opening), False)]

    def _segments(self, prompt: Prompt) -> Iterator[tuple[str, bool]]:
        """Texts to tokenise one by one, each with whether control tokens in it are recognised."""
        *pieces, last = self._own_texts(bool(prompt.system))
        texts = (prompt.system, prompt.user) if prompt.system else (prompt.user,)
        for (own, space), text in zip(pieces, texts, strict=True):
            yield own, True
            # llama.cpp does not compose accents as Qwen's own tokenizer does, so it is done before both.
            whole = space + normalize("NFC", text)
            for paragraph in _NEW_PARAGRAPH.split(whole) if self._by_paragraph else [whole]:
                yield paragraph, False
        # A space before the model's words belongs to the first of them.
        yield last[0] + ("" if prompt.opening or prompt.reasons else last[1]), True

    def _cut_texts(self, with_system: bool) -> list[tuple[str, str]]:
        """The template's own texts around ours, and the space that each leaves to the text after it."""
        pieces = self.pieces(with_system)[:-1]
        if self._space_prefix:
            pieces = [
                piece.removeprefix(" " if index else "").removesuffix(" ")
                for index, piece in enumerate(pieces)
            ]
        return [(piece.removesuffix(" "), " " if piece.endswith(" ") else "") for piece in pieces]

    def answer_ids(self, answer: int) -> list[int]:
        """Token ids of an answer as bare integer, without the token that ends it."""
        return self.tokenize(str(answer), False)

    def example(self, prompt: Prompt, answer: int) -> Example:
        """The sequence to train on; the loss counts on the answer and the token that ends it, and on an opening."""
        asked = np.concatenate(self._asked(prompt)).tolist()
        said = [token for piece in self._said(prompt) for token in piece.tolist()]
        completion = [*said, *self.answer_ids(answer), self.end_id]
        return Example(asked + completion, [0] * len(asked) + [1] * len(completion))


def render_template(
    template: str,
    messages: Sequence[Mapping[str, str]],
    variables: Mapping[str, str],
    generation: bool = False,
) -> str:
    """Render a Hugging Face chat template in the sandbox that Transformers uses.

    ``generation`` asks for the opening of an answer at the end, as programs that chat do. Otherwise the conversation is
    a finished one, of answers without thinking.

    Raises:
        ModelError: the template is not valid Jinja, or refuses the messages.
    """
    from jinja2 import TemplateError

    options = {"tools": None, "documents": None, "add_generation_prompt": generation, **variables}
    if not generation:
        options["enable_thinking"] = False
    try:
        return str(_environment().from_string(template).render(messages=list(messages), **options))
    except (TemplateError, TypeError, ValueError, LookupError, ArithmeticError) as error:
        raise ModelError(f"the chat template cannot be rendered: {error}") from error


def _environment() -> Any:
    """The sandbox, with what Transformers puts into it; its clock stands still."""
    from jinja2 import TemplateError
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """``{% generation %}``, with which templates mark what the assistant said: it changes nothing."""

        tags = {"generation"}  # noqa: RUF012 - jinja2 declares it so

        def parse(self, parser: Any) -> Any:
            """The statements in between."""
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    def raise_exception(message: str) -> None:
        raise TemplateError(message)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, Generation]
    )
    environment.globals |= {"raise_exception": raise_exception, "strftime_now": TODAY.strftime}
    return environment
