"""Docs that cannot go stale: generated pages, the commands that the README names, and their links."""

import json
import re
import shlex
from pathlib import Path

import pytest

from socrates_fast.bounds import DEFAULTS, FIGURES
from socrates_fast.reference import pages
from tests.conftest import ROOT, Command

GUIDES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
WORDS = re.compile(r"^\s*(?:\$ )?(?:\.venv/bin/)?socrates-fast ([^\n#]*)", re.MULTILINE)


@pytest.mark.parametrize("name", ["cli.md", "recipe.md"])
def test_generated_page_is_current(name: str) -> None:
    assert (ROOT / "docs" / name).read_text(encoding="utf-8") == pages()[name], "run: make docs"


def commands(path: Path) -> set[tuple[str, ...]]:
    """The verbs, with their flags, in a guide's shell blocks."""
    blocks = re.findall(r"```(?:sh|bash|console)\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL)
    found = set()
    for line in WORDS.findall("\n".join(blocks).replace("\\\n", " ")):
        words = shlex.split(line)
        verb = words[:2] if words[0] in ("data", "recipes", "bench") else words[:1]
        flags = [word for word in words if word.startswith("--")]
        found.add((*verb, "|", *flags))
    return found


def test_readme_names_verbs_and_flags_that_exist(command: Command) -> None:
    known: dict[str, str] = {}
    mentioned = set().union(*(commands(path) for path in GUIDES))
    assert len(mentioned) >= 8
    for entry in sorted(mentioned):
        verb, flags = entry[: entry.index("|")], entry[entry.index("|") + 1 :]
        name = " ".join(verb)
        if name not in known:
            outcome = command(*verb, "--help")
            assert outcome.code == 0, f"socrates-fast {name} --help: {outcome.err}"
            known[name] = outcome.out
        for flag in flags:
            assert flag in known[name], f"socrates-fast {name} has no {flag}"


@pytest.mark.parametrize("path", GUIDES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", path.read_text(encoding="utf-8")):
        assert (path.parent / target).exists(), f"{path.name}: {target}"


def test_bounds_in_the_guide_are_those_built_in() -> None:
    text = (ROOT / "docs" / "exporting.md").read_text(encoding="utf-8")
    shown = {
        cells[0]: {name: float(cell) for name, cell in zip(FIGURES, cells[1:], strict=False)}
        for cells in ([cell.strip() for cell in line.split("|")[1:]] for line in text.splitlines())
        if cells and cells[0] in DEFAULTS
    }
    assert shown == {kind: {name: bounds[name] for name in FIGURES} for kind, bounds in DEFAULTS.items()}


def test_figures_of_the_gate_in_the_guide_are_those_recorded() -> None:
    record = json.loads((ROOT / "bench/results/parity.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    text = (ROOT / "docs" / "exporting.md").read_text(encoding="utf-8")
    for kind, found in record["types"].items():
        answers = found["answers"]
        figures = f"{found['logits']['nmse']:.0e} | {answers['kl']:.0e} | {answers['wasserstein']:.4f} | {answers['top1']:.0%}"
        assert re.search(rf"^\| {kind} \|.*\| {re.escape(figures)} \|", text, re.MULTILINE), kind


def test_readme_shows_both_commands_on_its_first_screen() -> None:
    first = "\n".join((ROOT / "README.md").read_text(encoding="utf-8").splitlines()[:40])
    assert "make demo" in first
    assert "make test" in first
