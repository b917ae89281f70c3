"""The guides as programs: their blocks, what each needs, and the names in their text.

A comment right before a block says what is to be done with it: ``<!-- needs: ... -->`` why a test cannot run it,
``<!-- with: FILE -->`` which real data it takes, ``<!-- file: NAME -->`` under which name a reader saves it.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import ROOT

FOLLOWED = (
    "quick-start", "replicate", "your-own-experiment", "inference", "evaluation", "exporting", "adding-an-architecture",
    "predicting", "training", "own-data", "comparing", "prepared", "scales", "planning", "benchmarks",
)  # fmt: skip
"""Guides that are followed from beginning to end; each of their shell blocks is run or says why not."""
REASONS = ("network", "GPU", "an installation", "a quiet machine", "the checkout", "a file of your own")

BLOCK = re.compile(r"(?:<!-- (\w+): ([^\n]*?) -->\n)?^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LOCAL = re.compile(r"`((?:runs|prepared|shipped)/[^`\s]*)`")


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        language: what stands after the fence.
        text: what is inside.
        key: of the comment right before it: needs, with, file; "" for none.
        value: of the comment.
    """

    language: str
    text: str
    key: str
    value: str

    @property
    def is_shell(self) -> bool:
        return self.language in ("sh", "bash", "console")


def page(name: str) -> Path:
    return ROOT / "docs" / f"{name}.md"


def blocks(path: Path) -> list[Block]:
    """All fenced blocks of a guide, in order."""
    found = BLOCK.findall(path.read_text(encoding="utf-8"))
    return [Block(language, text, key, value) for key, value, language, text in found]


def made(path: Path) -> list[str]:
    """The files and folders that the text says the commands leave; braces are the shell's."""
    return [name for name in LOCAL.findall(path.read_text(encoding="utf-8")) if "NAME" not in name]
