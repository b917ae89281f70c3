"""What an architecture is to the export: its GGUF keys, its tensors, and how their rows change."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Value = bool | int | float | str | list[str] | list[int] | list[float]
Metadata = dict[str, Value]
"""GGUF keys and values; an int is written as uint32, a float as float32, lists of them as int32 and float32 arrays."""

Config = Mapping[str, Any]
"""The content of a model's ``config.json``."""


@dataclass(frozen=True)
class TensorSpec:
    """One tensor to write.

    Attributes:
        source: its Hugging Face name; "" if it is computed.
        target: its GGUF name.
        shape: as written, rows first. The source may have more rows; those are left out.
        together: ``transform`` is given slabs of a multiple of this many rows, because it mixes them.
        values: of a one-dimensional tensor that is computed from the config; None for one that is read.
    """

    source: str
    target: str
    shape: tuple[int, ...]
    together: int = 1
    values: tuple[float, ...] | None = None


class Architecture(Protocol):
    """What the export asks of an architecture.

    ``Dense`` (``common.py``) does all of it for the usual decoder, and is what a new class starts from.
    """

    name: str
    """The GGUF architecture, prefix of its keys."""

    def complete(self, config: Config) -> Config:
        """The config with what its file leaves to Transformers' defaults; of a multimodal model the text part.

        The other methods are given such a config.
        """
        ...

    def module_name(self, stored: str) -> str | None:
        """Name, in the model as Transformers builds it, of a tensor of the checkpoint; None if it is not exported.

        Adapters name tensors so, and ``TensorSpec.source`` does.
        """
        ...

    def refuse(self, config: Config) -> str | None:
        """Why llama.cpp could not compute what this config says, or None if it can."""
        ...

    def metadata(self, config: Config) -> Metadata:
        """The architecture's GGUF keys."""
        ...

    def tensors(self, config: Config) -> list[TensorSpec]:
        """Every tensor of the GGUF, in the order of writing."""
        ...

    def transform(self, spec: TensorSpec, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """A slab of merged rows as llama.cpp wants it."""
        ...
