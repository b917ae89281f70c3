"""A model folder's tokenizer as GGUF keys.

llama.cpp does not run ``tokenizer.json``: it has two algorithms for the models exported here, byte-level BPE
(``byte_level.py``) and that of SentencePiece (``pieces.py``), and which of them a tokenizer is, and in which variant, is read
from its own description. The parity gate then compares token ids. Duplicate or empty texts, which make
llama.cpp abort, are refused.
"""

import re

from socrates_export.architectures.spec import Metadata
from socrates_export.source.base import BaseModel
from socrates_export.source.files import read_json
from socrates_export.vocabulary.byte_level import QWEN2_SPLIT, bpe_keys
from socrates_export.vocabulary.pieces import piece_keys
from socrates_export.vocabulary.special import adds_bos, check_variables, special_ids
from socrates_export.vocabulary.tokens import Tokens
from socrates_fast.errors import ModelError
from socrates_fast.tokenizer import FolderTokenizer, swallows_white_space

__all__ = ["QWEN2_SPLIT", "fitting_name", "tokenizer_metadata"]

_PHI3 = re.compile(r"(?i)phi(-?)3")


def tokenizer_metadata(base: BaseModel) -> Metadata:
    """The ``tokenizer.*`` keys of the base's tokenizer.

    Raises:
        ModelError: it is not a tokenizer that llama.cpp knows, or does not fit the model.
    """
    tokenizer = FolderTokenizer(base.folder)
    model = tokenizer.content.get("model", {})
    if model.get("type") != "BPE":
        raise ModelError(
            f"{base.folder}/tokenizer.json: a {model.get('type')} tokenizer; only byte-level BPE and SentencePiece's "
            "BPE can be exported"
        )
    tokens = Tokens.of(base.folder, tokenizer.content, base.config["vocab_size"])
    keys = piece_keys if model.get("byte_fallback") else bpe_keys
    found: Metadata = {
        **keys(tokenizer, tokens),
        **special_ids(base, tokenizer, tokens),
        # llama.cpp's defaults depend on the tokenizer. Programs that render a prompt themselves are told to begin it
        # as training did; ours render it whole.
        "tokenizer.ggml.add_bos_token": adds_bos(tokenizer),
        "tokenizer.ggml.add_eos_token": False,
        "tokenizer.ggml.add_space_prefix": tokenizer.space_prefix,
        "tokenizer.chat_template": tokenizer.chat_template,
    }
    check_variables(tokenizer, tokens, found)
    return found


def fitting_name(base: BaseModel, name: str) -> str:
    """``name`` so that llama.cpp does with white space after added tokens what the tokenizer does.

    It swallows it in files whose ``general.name`` contains "phi-3" or "phi3", and in no others.
    """
    if swallows_white_space(read_json(base.folder / "tokenizer.json")):
        return name if _PHI3.search(name) else f"{name} (Phi-3)"
    return _PHI3.sub("Phi 3", name)
