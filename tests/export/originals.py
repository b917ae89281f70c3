"""What the gate's child process computes, computed in this process: no second import of torch."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from socrates_export.proof.original import Original, read_original
from socrates_export.proof.questions import Question, make_questions
from socrates_export.proof.reference import reference
from socrates_fast.prompt import Prompt
from socrates_fast.tokenizer import FolderTokenizer


def questions_of(base: Path, prompts: Sequence[Prompt], logits: int = 4, answers: int = 64) -> list[Question]:
    """The gate's questions."""
    return make_questions(FolderTokenizer(base).renderer(), prompts, logits, answers)


def original_of(
    base: Path, adapter: Path | None, questions: Sequence[Question], merge_base: str = "original"
) -> Original:
    """What base + adapter answer."""
    with TemporaryDirectory() as folder:
        out = Path(folder) / "reference.npz"
        asked = [question.as_task() for question in questions]
        reference(str(base), str(adapter) if adapter else None, asked, str(out), merge_base)
        with np.load(out) as arrays:
            return read_original(dict(arrays), questions)
