"""The training prompt as text, for programs that take text: the chat template's own pieces and what fills them."""

from collections.abc import Mapping
from dataclasses import dataclass

from socrates_export.vocabulary.special import adds_bos
from socrates_fast.errors import ModelError
from socrates_fast.prompt import ChatRenderer, Prompt, render_template
from socrates_fast.tokenizer import FolderTokenizer


@dataclass(frozen=True)
class ChatText:
    """A chat template's text around system line, user turn and answer.

    Attributes:
        with_system: before the system line, before the user turn, before the answer, after it.
        without: before the user turn, before the answer, after it.
        ends: texts that end an answer.
        bos: the token that the GGUF makes programs put before a prompt, so that it is not in the text; "" for none.
    """

    with_system: list[str]
    without: list[str]
    ends: list[str]
    bos: str = ""

    def prompt(self, system: str, user: str) -> str:
        """The whole prompt, after ``bos``, up to and without the answer."""
        if not system:
            return self.without[0] + user + self.without[1]
        return self.with_system[0] + system + self.with_system[1] + user + self.with_system[2]


def chat_text(tokenizer: FolderTokenizer) -> ChatText:
    """The text of a base folder's chat template.

    Raises:
        ModelError: the template cannot be rendered.
    """
    renderer = tokenizer.renderer()
    ends = [_token_text(tokenizer, renderer.end_id), tokenizer.token_text("eos_token")]
    bos = tokenizer.token_text("bos_token") if adds_bos(tokenizer) else ""
    return ChatText(
        _after(bos, renderer, True),
        _after(bos, renderer, False),
        list(dict.fromkeys(filter(None, ends))),
        bos,
    )


def _after(bos: str, renderer: ChatRenderer, with_system: bool) -> list[str]:
    first, *rest = renderer.pieces(with_system)
    return [first.removeprefix(bos), *rest]


def _token_text(tokenizer: FolderTokenizer, token: int) -> str:
    vocabulary: Mapping[str, int] = tokenizer.content["model"]["vocab"]
    added = {entry["id"]: str(entry["content"]) for entry in tokenizer.content.get("added_tokens", [])}
    return added.get(token) or next((text for text, found in vocabulary.items() if found == token), "")


def same_as_chat(tokenizer: FolderTokenizer, prompt: Prompt) -> bool:
    """Whether a program that renders the template itself, to let the model answer, gets the training prompt.

    It does not where the template opens an answer with room for thinking, refuses a system line, or prints the date.
    """
    if "strftime_now" in tokenizer.chat_template:
        return False
    variables = {role: tokenizer.token_text(role) for role in ("bos_token", "eos_token")}
    messages = [{"role": "system", "content": prompt.system}] if prompt.system else []
    messages.append({"role": "user", "content": prompt.user})
    chat = chat_text(tokenizer)
    try:
        rendered = render_template(tokenizer.chat_template, messages, variables, generation=True)
    except ModelError:
        return False
    return rendered == chat.bos + chat.prompt(prompt.system, prompt.user)


def same_ids(tokenizer: FolderTokenizer, prompt: Prompt) -> bool:
    """Whether the prompt as one text has the token ids that the model was trained on.

    Training tokenises the template's pieces and the texts in them one by one, so that nothing a person wrote can
    become a control token; other programs tokenise the whole.
    """
    chat = chat_text(tokenizer)
    whole = chat.bos + chat.prompt(prompt.system, prompt.user)
    return tokenizer.encode(whole, True) == tokenizer.renderer().prompt_ids(prompt)
