"""The types a GGUF can be written in, and the type that llama.cpp gives each tensor in them.

A file type such as Q4_K_M is a mix: most matrices in Q4_K, the more sensitive ones in more bits. The mix follows
llama.cpp (``src/llama-quant.cpp`` of the pinned version); a test compares it with ``llama_model_quantize``'s dry run.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from socrates_export.architectures.spec import Metadata
from socrates_fast.errors import ExportError

_OUTPUT, _EMBEDDING = "output.weight", "token_embd.weight"
_BLOCK = re.compile(r"blk\.(\d+)\.(\w+)\.weight")


@dataclass(frozen=True)
class FileType:
    """A type of GGUF.

    Attributes:
        number: llama.cpp's ``llama_ftype``, written as ``general.file_type``.
        tensor: the GGML type of most matrices.
    """

    number: int
    tensor: str


FILE_TYPES = {
    "f32": FileType(0, "F32"),
    "f16": FileType(1, "F16"),
    "bf16": FileType(32, "BF16"),
    "q8_0": FileType(7, "Q8_0"),
    "q6_k": FileType(18, "Q6_K"),
    "q5_k_m": FileType(17, "Q5_K"),
    "q5_k_s": FileType(16, "Q5_K"),
    "q4_k_m": FileType(15, "Q4_K"),
    "q4_k_s": FileType(14, "Q4_K"),
    "q4_0": FileType(2, "Q4_0"),
    "iq4_xs": FileType(30, "IQ4_XS"),
    "iq4_nl": FileType(25, "IQ4_NL"),
    "q3_k_m": FileType(12, "Q3_K"),
    "q2_k": FileType(10, "Q2_K"),
}
"""By the name that a user types; from the largest to the smallest."""

FLOATS = ("f32", "f16", "bf16")

UNWEIGHED = (*FLOATS, "q8_0")
"""Types that an importance matrix does not change."""

_SMALLER_BLOCK = {
    "Q2_K": "Q4_0", "Q3_K": "Q4_0", "Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0", "IQ4_XS": "IQ4_NL",
}  # fmt: skip
"""What llama.cpp takes where rows do not divide into blocks of 256."""


def check_kinds(kinds: list[str]) -> list[str]:
    """The types asked for, each once.

    Raises:
        ExportError: one does not exist, or none is asked for.
    """
    unknown = [kind for kind in kinds if kind not in FILE_TYPES]
    if unknown or not kinds:
        asked = ", ".join(unknown) or "nothing"
        raise ExportError(f"cannot export to {asked}; choose from {', '.join(FILE_TYPES)}")
    return list(dict.fromkeys(kinds))


@dataclass(frozen=True)
class MixFacts:
    """What the mix depends on, besides the tensors.

    Attributes:
        architecture: GGUF architecture.
        layers: number of blocks.
        heads: attention heads.
        heads_kv: heads of keys and values.
        imatrix: whether an importance matrix is given.
    """

    architecture: str
    layers: int
    heads: int
    heads_kv: int
    imatrix: bool

    @classmethod
    def of(cls, metadata: Metadata, imatrix: bool) -> "MixFacts":
        """From the file's own keys."""
        name = str(metadata["general.architecture"])
        counts = ("block_count", "attention.head_count", "attention.head_count_kv")
        layers, heads, heads_kv = (int(str(metadata[f"{name}.{key}"])) for key in counts)
        return cls(name, layers, heads, heads_kv, imatrix)

    @property
    def shares_values(self) -> bool:
        """Whether four or more heads share their values, so that these deserve more bits."""
        return self.heads // self.heads_kv >= 4

    @property
    def is_70b(self) -> bool:
        """Whether llama.cpp takes the model for one of 70B parameters."""
        grouped = self.architecture == "llama" and self.heads != self.heads_kv
        return self.layers == 80 and (grouped or self.architecture == "qwen2")

    def more_bits(self, layer: int) -> bool:
        """The first and last eighth of the layers and every third between them."""
        eighth = self.layers // 8
        return layer < eighth or layer >= 7 * self.layers // 8 or (layer - eighth) % 3 == 2


def tensor_types(kind: str, shapes: Mapping[str, tuple[int, ...]], facts: MixFacts) -> dict[str, str]:
    """The GGML type of each tensor in a file of type ``kind``.

    Args:
        kind: a key of ``FILE_TYPES``.
        shapes: of all tensors by GGUF name, rows first.
        facts: of the model.
    """
    tied = _OUTPUT not in shapes
    types = {}
    for name, shape in shapes.items():
        if len(shape) < 2:
            types[name] = (
                "F32"  # norms, biases, rope factors: small, and llama.cpp computes with them in float32
            )
        elif kind in FLOATS:
            types[name] = FILE_TYPES[kind].tensor
        else:
            types[name] = _fitting(_wanted(kind, name, shape[-1], facts, tied), shape[-1])
    return types


@cache
def block_elements(kind: str) -> int:
    """Elements per block of a GGML type."""
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    return int(GGML_QUANT_SIZES[GGMLQuantizationType[kind]][0])


@cache
def row_bytes(kind: str, width: int) -> int:
    """Bytes of a row of ``width`` elements in a GGML type."""
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    elements, size = GGML_QUANT_SIZES[GGMLQuantizationType[kind]]
    return int(width // elements * size)


def _fitting(tensor: str, width: int) -> str:
    """``tensor``, or a type of smaller blocks if rows of ``width`` do not divide into its own."""
    if width % block_elements(tensor) == 0:
        return tensor
    smaller = _SMALLER_BLOCK.get(tensor, tensor)
    return smaller if width % block_elements(smaller) == 0 else "F16"


def _wanted(kind: str, name: str, width: int, facts: MixFacts, tied: bool) -> str:
    default = FILE_TYPES[kind].tensor
    if name == _OUTPUT or (tied and name == _EMBEDDING):
        return "Q8_0" if default == "Q8_0" or width % block_elements(default) else "Q6_K"
    match = _BLOCK.fullmatch(name)
    if match is None:
        return default
    layer, role = int(match[1]), match[2]
    if role in ("attn_v", "attn_qkv"):
        chosen = _values(kind, layer, facts)
        return "Q5_K" if facts.is_70b and chosen in ("Q3_K", "Q4_K") else chosen
    if role == "ffn_down":
        return _down(kind, layer, facts)
    if role == "attn_output":
        return {"q2_k": "Q3_K", "q3_k_m": "Q4_K"}.get(kind, default)
    return default


def _values(kind: str, layer: int, facts: MixFacts) -> str:
    """Type of ``attn_v``, or of the fused ``attn_qkv``."""
    match kind:
        case "q2_k":
            return "Q4_K" if facts.shares_values else "Q3_K"
        case "q3_k_m":
            return "Q5_K" if layer < 2 else "Q4_K"
        case "q4_k_s":
            return "Q5_K" if layer < 4 else "Q4_K"
        case "q4_k_m" | "q5_k_m" if facts.more_bits(layer):
            return "Q6_K"
        case "iq4_nl" | "iq4_xs" if facts.shares_values:
            return "Q5_K"
    return FILE_TYPES[kind].tensor


def _down(kind: str, layer: int, facts: MixFacts) -> str:
    """Type of ``ffn_down``."""
    default = "Q3_K" if kind == "q2_k" else FILE_TYPES[kind].tensor
    if kind == "q3_k_m":
        return "Q5_K" if layer < facts.layers // 16 else "Q4_K"
    if kind in ("q4_k_m", "q5_k_m") and facts.more_bits(layer):
        return "Q6_K"
    if layer < facts.layers // 8:
        # With an importance matrix, Q4_0 is what can go wrong in the first layers; without one, IQ4 is.
        early = {"q4_k_s": "Q5_K"} | (
            {"q4_0": "Q4_1"} if facts.imatrix else {"iq4_nl": "Q5_K", "iq4_xs": "Q5_K"}
        )
        return early.get(kind, default)
    return default
