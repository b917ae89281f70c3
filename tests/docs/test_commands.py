"""The guides are followed: their commands run in order, and leave what the text says they leave.

The commands are those that are printed. What trains does so for six steps of a random two-layer model, on a part of
the rows; CI runs the demo as it is.
"""

import re
import shutil
from pathlib import Path

import pytest

from tests.conftest import SHARED_DATA
from tests.docs.conftest import shell
from tests.docs.guides import FOLLOWED, REASONS, Block, blocks, made, page

FORBIDDEN = re.compile(r"\b(?:pip|curl|make|sudo|apt|apt-get) ")
"""What a test must not do to the machine that it runs on."""
UNRUN = "adding-an-architecture"
"""Its commands are tests, which other tests run."""


def follow(block: Block, folder: Path, environment: dict[str, str]) -> bool:
    """Do what the guide asks for; False if the data is not here."""
    if block.key == "file":
        (folder / block.value).write_text(block.text, encoding="utf-8")
    if not block.is_shell or block.key == "needs":
        return True
    if block.key == "with":
        if not (SHARED_DATA / block.value).is_file():
            return False
        shutil.copy(SHARED_DATA / block.value, folder)
    shell(block.text, folder, environment)
    return True


@pytest.mark.parametrize("name", FOLLOWED)
def test_each_block_is_run_or_says_why_not(name: str) -> None:
    for block in blocks(page(name)):
        assert block.key in ("", "needs", "with", "file"), block
        if block.key == "needs":
            assert block.value.startswith(REASONS), f"{block.value}: begin with one of {REASONS}"


@pytest.mark.parametrize("name", FOLLOWED)
def test_what_is_run_leaves_the_machine_alone(name: str) -> None:
    for block in blocks(page(name)):
        if block.is_shell and block.key != "needs":
            assert not FORBIDDEN.search(block.text), block.text


def test_every_guide_has_blocks_that_are_run() -> None:
    run = {name: [b for b in blocks(page(name)) if b.is_shell and b.key != "needs"] for name in FOLLOWED}
    assert [name for name, found in run.items() if not found] == [UNRUN]


@pytest.mark.long
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("name", [name for name in FOLLOWED if name != UNRUN])
def test_the_guide_can_be_followed(
    name: str, runs: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    shutil.copytree(runs, tmp_path / "runs")
    done = [follow(block, tmp_path, environment) for block in blocks(page(name))]
    if not all(done):
        pytest.skip("the blocks without data of ../shared/data ran")
    for entry in made(page(name)):
        shell(f"ls -d {entry}", tmp_path, environment)
