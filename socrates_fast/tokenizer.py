"""A model folder's tokenizer and chat template, without torch or transformers.

The tokenizer is ``tokenizer.json`` as llama.cpp runs it. In a few small things llama.cpp has its own way (``_adapted``
names them all), and a model must be trained on the token ids that it will be asked with.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from socrates_fast.errors import ModelError
from socrates_fast.nearby import no_model_in
from socrates_fast.prompt import ChatRenderer

_CONTROL_SHAPES = (("<|", "|>"), ("<｜", "｜>"), ("<unused", ">"))
_CONTROL_TEXTS = {"<pad>", "<mask>", "<2mass>", "[@BOS@]"}
_CONTROL_WHEN_LOADED = {
    "</s>", "<eos>", "[EOS]", "<EOT>", "_<EOT>", "[EOT]", "<end_of_turn>", "<end_of_utterance>", "<turn|>",
    "<|tool_response>", "[e~[", "<fim-prefix>", "<fim_prefix>", "<PRE>", "▁<PRE>", "<fim-suffix>", "<fim_suffix>",
    "<SUF>", "▁<SUF>", "<fim-middle>", "<fim_middle>", "<MID>", "▁<MID>", "<fim-pad>", "<fim_pad>", "<PAD>",
    "[PAD]", "<fim-repo>", "<REPO>", "<reponame>",
}  # fmt: skip
"""llama.cpp takes these for the end of a turn or of a file, whatever their type in the GGUF."""

_NEVER_STRIPPED = {"<unk>", "<s>", "<|endoftext|>"}
_CASES = (
    (r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{L}&&[^a-z]]"),
    (r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]", r"[\p{L}&&[^A-Z]]"),
)
"""Letters by case, as tokenizers of the o200k kind (Mistral Nemo, Phi-4-mini) tell them, and as llama.cpp does: it
knows the case of ASCII letters only, and no combining marks."""


def looks_like_control(text: str) -> bool:
    """Whether an added token of this text is a control token in a GGUF whatever its ``special`` flag says."""
    shaped = any(text.startswith(start) and text.endswith(end) for start, end in _CONTROL_SHAPES)
    return shaped or text in _CONTROL_TEXTS


def swallows_white_space(content: Mapping[str, Any]) -> bool:
    """Whether the added tokens of a ``tokenizer.json`` swallow the white space after them, as those of Phi-3 do.

    llama.cpp does it for Phi-3 only, and after just these tokens.
    """
    added = content.get("added_tokens", [])
    known = {token["content"] for token in added} >= {"</s>", *_NEVER_STRIPPED}
    return known and all(
        not token.get("lstrip") and token.get("rstrip") == (token["content"] not in _NEVER_STRIPPED)
        for token in added
    )


class FolderTokenizer:
    """``tokenizer.json`` of a Hugging Face folder, as llama.cpp runs it.

    Args:
        folder: holds ``tokenizer.json``, ``tokenizer_config.json`` and the chat template.

    Raises:
        ModelError: a file is missing or is not what it should be.
    """

    def __init__(self, folder: Path) -> None:
        from tokenizers import Tokenizer

        self.folder = folder
        self.content = self._json("tokenizer.json")
        """Content of the file."""
        self.config = self._json("tokenizer_config.json")
        try:
            self._tokenizer = Tokenizer.from_str(json.dumps(_adapted(self.content)))
        except Exception as error:
            raise ModelError(f"{folder / 'tokenizer.json'}: not a tokenizer ({error})") from error

    def _json(self, name: str) -> dict[str, Any]:
        path = self.folder / name
        if not path.is_file():
            raise ModelError(no_model_in(self.folder, name))
        try:
            return dict(json.loads(path.read_text(encoding="utf-8")))
        except ValueError as error:
            raise ModelError(f"{path}: not JSON ({error})") from error

    @property
    def space_prefix(self) -> bool:
        """Whether a space is put before each text: at its start, and after an added token in it."""
        return _space_prefix(self.content)

    def encode(self, text: str, special: bool) -> list[int]:
        """Token ids of ``text``; control tokens in it are recognised only if ``special``. Adds no BOS or EOS."""
        # A control token in user text must stay text, as in llama.cpp with parse_special off.
        self._tokenizer.encode_special_tokens = not special
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    @property
    def chat_template(self) -> str:
        """The Jinja chat template, from ``chat_template.jinja`` or the config's ``chat_template``."""
        path = self.folder / "chat_template.jinja"
        if path.is_file():
            return path.read_text(encoding="utf-8")
        template = self.config.get("chat_template")
        if isinstance(template, list):
            template = next((t["template"] for t in template if t["name"] == "default"), None)
        if not isinstance(template, str):
            raise ModelError(f"{self.folder}: no chat template; socrates-fast needs an instruct model")
        return template

    def token_text(self, role: str) -> str:
        """Text of ``bos_token``, ``eos_token`` or ``pad_token`` as the config says, "" if it has none."""
        token = self.config.get(role)
        return str(token["content"]) if isinstance(token, dict) else token or ""

    def token_id(self, text: str) -> int | None:
        """Id of the token whose text is ``text``, if there is one."""
        found: int | None = self._tokenizer.token_to_id(text)
        return found

    def renderer(self) -> ChatRenderer:
        """The chat renderer of this folder."""
        variables = {role: self.token_text(role) for role in ("bos_token", "eos_token")}
        return ChatRenderer(self.chat_template, self.encode, variables)


def _adapted(content: Mapping[str, Any]) -> dict[str, Any]:
    """The tokenizer with llama.cpp's ways instead of its own.

    Some added tokens are control tokens whatever their flag says, all are looked for in the text as it is, and they
    leave the white space beside them alone unless all swallow it as Phi-3's do. Texts are given a space in front
    always or never, not only the first piece. Letters' case is that of ASCII.
    """
    swallows = swallows_white_space(content)
    added = [
        {
            **token,
            "special": token["special"] or _is_control(token["content"]),
            "normalized": False,
            "single_word": False,
            "lstrip": False,
            "rstrip": swallows and token["rstrip"],
        }
        for token in content.get("added_tokens", [])
    ]
    adapted = {**content, "added_tokens": added}
    if _is_metaspace(content):
        prefix = [{"type": "Prepend", "prepend": "▁"}] if _space_prefix(content) else []
        spaces = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
        adapted |= {
            "normalizer": {"type": "Sequence", "normalizers": [*prefix, spaces]},
            "pre_tokenizer": None,
        }
    elif content.get("pre_tokenizer"):
        text = json.dumps(content["pre_tokenizer"])
        for published, known in _CASES:
            text = text.replace(json.dumps(published)[1:-1], json.dumps(known)[1:-1])
        adapted["pre_tokenizer"] = json.loads(text)
    return adapted


def _is_control(text: str) -> bool:
    return looks_like_control(text) or text in _CONTROL_WHEN_LOADED


def _is_metaspace(content: Mapping[str, Any]) -> bool:
    """Whether spaces are marked by a pre-tokenizer that does not split at them."""
    pre = content.get("pre_tokenizer") or {}
    return pre.get("type") == "Metaspace" and pre.get("split") is False and not content.get("normalizer")


def _space_prefix(content: Mapping[str, Any]) -> bool:
    """Whether every piece of text is given a space in front.

    Where only the first piece is (``first``), none is here: a prompt begins with a control token.
    """
    if _is_metaspace(content):
        return bool(content["pre_tokenizer"].get("prepend_scheme", "always") == "always")
    normalizer = content.get("normalizer") or {}
    return any(part.get("type") == "Prepend" for part in normalizer.get("normalizers", [normalizer]))
