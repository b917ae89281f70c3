"""The ids of tokens with a role, and whether a prompt begins with BOS."""

from collections.abc import Mapping

from socrates_export.architectures.spec import Metadata, Value
from socrates_export.source.base import BaseModel
from socrates_export.vocabulary.tokens import CONTROL, Tokens
from socrates_fast.errors import ModelError
from socrates_fast.prompt import ChatRenderer
from socrates_fast.tokenizer import FolderTokenizer

_ROLES = {"bos": "bos", "eos": "eos", "unknown": "unk", "padding": "pad", "mask": "mask"}
"""GGUF's name of a role, to Transformers'."""


def special_ids(base: BaseModel, tokenizer: FolderTokenizer, tokens: Tokens) -> Metadata:
    """The ids of all roles that the folder names, and of the token that ends a turn.

    Raises:
        ModelError: there is no EOS, a turn does not end with a control token, or a role's token does not exist.
    """
    eot = tokenizer.renderer().end_id
    if tokens.types[eot] != CONTROL and tokens.texts[eot] != "</s>":  # llama.cpp makes that a control token
        raise ModelError(
            f"{base.folder}: the chat template ends an answer with ordinary text, not with a control token"
        )
    ids = {role: special_id(base, tokenizer, role) for role in _ROLES}
    if ids["eos"] is None:
        raise ModelError(f"{base.folder}: no eos_token in tokenizer_config.json")
    for role, token in ids.items():
        if token is not None and not 0 <= token < len(tokens.texts):
            raise ModelError(
                f"{base.folder}: the {_ROLES[role]} token has id {token}, and there are {len(tokens.texts)} tokens"
            )
    found = {**ids, "eot": eot}
    return {f"tokenizer.ggml.{role}_token_id": token for role, token in found.items() if token is not None}


def special_id(base: BaseModel, tokenizer: FolderTokenizer, role: str) -> int | None:
    """Id of the token of a role (``eos``, ``bos``, ``padding``, ...); None if the folder names none.

    The tokenizer's config decides; where it is silent, the generation config, then the model's.

    Raises:
        ModelError: the tokenizer's config names a token that the tokenizer does not have.
    """
    name = _ROLES[role]
    text = tokenizer.token_text(f"{name}_token")
    if text:
        token = tokenizer.token_id(text)
        if token is None:
            raise ModelError(f"{base.folder}: {name}_token {text!r} is not in tokenizer.json")
        return token
    for config in (base.generation, base.config):
        value = config.get(f"{name}_token_id")
        if value is not None:
            return int(value[0] if isinstance(value, list) else value)
    return None


def adds_bos(tokenizer: FolderTokenizer) -> bool:
    """Whether the chat template puts BOS before a prompt.

    Not whether the prompt's first token is BOS: SmolLM2's BOS is the ``<|im_start|>`` of any turn.
    """
    bos = tokenizer.token_text("bos_token")
    if not bos:
        return False
    with_it, without = (_first_piece(tokenizer, text) for text in (bos, ""))
    return with_it == bos + without


def _first_piece(tokenizer: FolderTokenizer, bos: str) -> str:
    variables = {"bos_token": bos, "eos_token": tokenizer.token_text("eos_token")}
    return ChatRenderer(tokenizer.chat_template, tokenizer.encode, variables).pieces(False)[0]


def check_variables(tokenizer: FolderTokenizer, tokens: Tokens, keys: Mapping[str, Value]) -> None:
    """Refuse a chat template that the GGUF's special tokens would fill otherwise than the folder's.

    Raises:
        ModelError: naming the tokens.
    """
    variables = {}
    for role in ("bos", "eos"):
        token = keys.get(f"tokenizer.ggml.{role}_token_id")
        variables[f"{role}_token"] = tokens.texts[token] if isinstance(token, int) else ""
    scored = ChatRenderer(tokenizer.chat_template, tokenizer.encode, variables)
    trained = tokenizer.renderer()
    if any(scored.pieces(system) != trained.pieces(system) for system in (False, True)):
        raise ModelError(
            f"{tokenizer.folder}: the chat template prints bos_token or eos_token, and tokenizer_config.json does "
            f"not name them as config.json does ({variables}); add them there"
        )
