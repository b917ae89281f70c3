"""A model folder's tokenizer and chat template, without torch or transformers."""

import json
import re
from pathlib import Path
from typing import Any

from socrates_fast.errors import ModelError
from socrates_fast.prompt import ChatRenderer

CONTROL_TEXT = re.compile(r"^<[|｜].*[|｜]>$|^<unused\d+>$|^<pad>$|^<mask>$")
"""Added tokens that read like this act as control tokens in llama.cpp whatever their ``special`` flag says."""


class FolderTokenizer:
    """``tokenizer.json`` of a Hugging Face folder.

    Args:
        folder: holds ``tokenizer.json``, ``tokenizer_config.json`` and the chat template.

    Raises:
        ModelError: a file is missing or is not what it should be.
    """

    def __init__(self, folder: Path) -> None:
        from tokenizers import Tokenizer

        self.folder = folder
        self.content = self._json("tokenizer.json")
        self.config = self._json("tokenizer_config.json")
        for token in self.content.get("added_tokens", []):
            # A control token in user text must stay text, as in llama.cpp with parse_special off.
            token["special"] = token["special"] or bool(CONTROL_TEXT.match(token["content"]))
        text = json.dumps(self.content)
        try:
            self._special = Tokenizer.from_str(text)
            self._plain = Tokenizer.from_str(text)
        except Exception as error:
            raise ModelError(f"{folder / 'tokenizer.json'}: not a tokenizer ({error})") from error
        self._plain.encode_special_tokens = True

    def _json(self, name: str) -> dict[str, Any]:
        path = self.folder / name
        if not path.is_file():
            raise ModelError(f"{self.folder}: no {name}; is this a Hugging Face model folder?")
        try:
            return dict(json.loads(path.read_text(encoding="utf-8")))
        except ValueError as error:
            raise ModelError(f"{path}: not JSON ({error})") from error

    def encode(self, text: str, special: bool) -> list[int]:
        """Token ids of ``text``; control tokens in it are recognised only if ``special``. Adds no BOS or EOS."""
        tokenizer = self._special if special else self._plain
        return list(tokenizer.encode(text, add_special_tokens=False).ids)

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
        found: int | None = self._special.token_to_id(text)
        return found

    def renderer(self) -> ChatRenderer:
        """The chat renderer of this folder."""
        variables = {role: self.token_text(role) for role in ("bos_token", "eos_token")}
        return ChatRenderer(self.chat_template, self.encode, variables)
