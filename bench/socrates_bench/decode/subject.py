"""The files that ``bench decode`` measures: a user's, or random ones of real shapes, which are deleted after it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path

from socrates_bench.random_model import random_base, random_gguf
from socrates_bench.record import Model
from socrates_bench.synthetic import SHAPES
from socrates_export.write.types import FILE_TYPES
from socrates_fast.errors import SocratesError
from socrates_fast.infer.header import Header, read_header


@dataclass(frozen=True)
class Subject:
    """A file to measure.

    Attributes:
        header: of the GGUF.
        model: as records name it.
        folder: of the safetensors that it was made of, if they are there.
        settings: of a user's file its name.
    """

    header: Header
    model: Model
    folder: Path | None
    settings: dict[str, str]

    @property
    def path(self) -> Path:
        """The GGUF."""
        return self.header.path

    def model_for(self, dtype: str | None) -> Model:
        """What one computes with who takes the folder's weights as ``dtype``, or the GGUF (None)."""
        if dtype is None or self.folder is None:
            return self.model
        size = sum(file.stat().st_size for file in self.folder.glob("*.safetensors"))
        return self.model.model_copy(update={"quantisation": dtype, "bytes": size})


def subject_of(path: Path, shape: str | None = None, folder: Path | None = None) -> Subject:
    """A file that exists.

    Raises:
        ModelError: it is no whole GGUF.
    """
    header = read_header(path.absolute())
    kinds = {kind.number: name for name, kind in FILE_TYPES.items()}
    model = Model(
        shape=shape,
        parameters=sum(prod(tensor.shape) for tensor in header.tensors),
        quantisation=kinds.get(-1 if header.file_type is None else header.file_type),
        bytes=path.stat().st_size,
    )
    return Subject(header, model, folder, {} if shape else {"file": path.name})


def check_shapes(shapes: Sequence[str]) -> None:
    """Raises SocratesError where one does not exist."""
    unknown = [shape for shape in shapes if shape not in SHAPES]
    if unknown:
        raise SocratesError(f"no shape {', '.join(unknown)}; choose from {', '.join(SHAPES)}")


def random_subjects(shape: str, kinds: Sequence[str], folder: Path) -> Iterator[Subject]:
    """A random model in each type; its file is there until the next is asked for."""
    base = random_base(folder / f"base-{shape}", shape)
    for kind in kinds:
        with _deleted_after(random_gguf(base, folder / f"random-{shape}-{kind}.gguf", kind)) as path:
            yield subject_of(path, shape, base)


@contextmanager
def _deleted_after(path: Path) -> Iterator[Path]:
    try:
        yield path
    finally:
        path.unlink()
