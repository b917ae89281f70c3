"""The tiny model's card in docs/ is one that the card code writes: its text is current, its recipe is the recipe."""

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml

from socrates_export.release import rewrite_card
from socrates_export.release.facts import RunFacts
from socrates_fast import recipes
from socrates_fast.runs import sha256_file
from tests.docs.guides import blocks, page

CARD = page("tiny-model-card")
MEASURED = re.compile(r"`[0-9a-f]{64}`|[-+]?\d[\d.,]*(?:e[-+]\d+)?(?:%| [kMG]B|[KM])?|–")
"""What differs from run to run: sums, figures, sizes."""


def sections(text: str) -> dict[str, str]:
    """Headings of the second level to what stands below, without figures."""
    parts = re.split(r"^## (.*)$", text, flags=re.MULTILINE)
    return {title: MEASURED.sub("#", body) for title, body in zip(parts[1::2], parts[2::2], strict=True)}


def figures(text: str) -> list[str]:
    """The first cells of tables."""
    return re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE)


def test_its_recipe_is_the_shipped_one() -> None:
    (block,) = [block for block in blocks(CARD) if block.language == "yaml"]
    assert yaml.safe_load(block.text) == json.loads(recipes.load("tiny").model_dump_json())


@pytest.mark.long
@pytest.mark.timeout(900)
def test_its_text_is_what_the_card_code_writes(runs: Path, micro_base: Path, tmp_path: Path) -> None:
    run, recipe = runs / "tiny", recipes.load("tiny")
    files = shutil.copytree(run / "gguf", tmp_path / "gguf")
    data, metrics = (json.loads((run / name).read_text(encoding="utf-8")) for name in ("data/card.json", "evaluation/metrics.json"))  # fmt: skip
    facts = RunFacts(recipe, data, metrics, sha256_file(files / "tiny-q8_0.gguf"))
    assert rewrite_card(files, "tiny", micro_base, run / "adapter", recipe.prompt, facts, "original")
    written, shown = ((path).read_text(encoding="utf-8") for path in (files / "README.md", CARD))
    assert shown.split("# tiny")[0] == written.split("# tiny")[0]
    assert figures(shown) == figures(written)
    now, then = sections(written), sections(shown)
    assert list(then) == list(now)
    for title in now.keys() - {"Evaluation"}:  # its notes depend on the figures
        assert then[title] == now[title], f"{title}: copy runs/tiny/gguf/README.md of a make demo to {CARD}"
