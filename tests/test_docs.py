"""Docs that cannot go stale: generated pages, the commands that the README names, and their links."""

import json
import re
import shlex
from pathlib import Path

import pytest

from socrates_fast import recipes
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
    text = path.read_text(encoding="utf-8")
    for target, anchor in re.findall(r"\]\((?!https?://)([^)#\s]*)(?:#([^)\s]+))?\)", text):
        where = path.parent / target if target else path
        assert where.exists() or target in BESIDE_THE_CARD, f"{path.name}: {target}"
        assert not anchor or anchor in anchors(where), f"{path.name}: {target}#{anchor}"


def anchors(path: Path) -> set[str]:
    """What GitHub calls a page's headings."""
    titles = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).strip().replace(" ", "-") for title in titles}


KEYS = re.compile(r"`((?:data|prompt|model|train|export|evaluate)\.[a-z_][\w.]*)[=:`]|--set ([a-z_][\w.]*)=")
OWN_FILES = re.compile(r"`((?:docs|bench|socrates_fast|export|tests|recipes|requirements)/[^`\s]*)`")
RECIPES = re.compile(r"(?<![\w/])((?:socsci210|twin2k)/[\w.-]+)(?=[`\s,;|)])")
FLAGS = re.compile(r"(?:^|[ `])(--[a-z][\w-]*)")
OTHERS_FLAGS = {"--generation-config", "--logits_all", "--node-rank", "--shutdown-timeout"}
"""Flags of vLLM, llama-cpp-python and torchrun that guides mention."""
NO_OPTIONS = {"train.parquet"}
BESIDE_THE_CARD = {f"tiny-{kind}.gguf" for kind in ("f16", "q8_0", "q4_k_m")} | {"Modelfile"}
MADE_BY_THE_BUILD = {"socrates_fast/_recipes"}


@pytest.mark.parametrize("path", GUIDES, ids=lambda path: str(path.relative_to(ROOT)))
def test_options_that_are_named_exist(path: Path) -> None:
    known = re.findall(r"^\| `([\w.]+)`", pages()["recipe.md"], re.MULTILINE)
    sections = {key.rpartition(".")[0] for key in known}
    for words in KEYS.findall(path.read_text(encoding="utf-8")):
        name = "".join(words)
        free = name.startswith("export.parity.bounds.") or name in NO_OPTIONS or name == "key"
        assert free or name in known or name in sections, f"{path.name}: {name}"


@pytest.mark.parametrize("path", GUIDES, ids=lambda path: str(path.relative_to(ROOT)))
def test_flags_that_the_text_names_exist(path: Path) -> None:
    known = set(FLAGS.findall(pages()["cli.md"])) | OTHERS_FLAGS
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    for code in re.findall(r"`([^`\n]*)`", text):
        if code.startswith(("--", "socrates-fast ")):
            assert set(FLAGS.findall(f" {code}")) <= known, f"{path.name}: {code}"


@pytest.mark.parametrize("path", GUIDES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_recipes_that_are_named_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for name in OWN_FILES.findall(text):
        assert list(ROOT.glob(name)) or name in MADE_BY_THE_BUILD, f"{path.name}: {name}"
    for name in RECIPES.findall(text):
        assert recipes.find(name).is_file(), f"{path.name}: {name}"


def test_hours_of_the_replication_are_those_in_the_recipes() -> None:
    """Each row of the table of published numbers names a recipe and the hours that its own header has."""
    text = (ROOT / "docs" / "replicate.md").read_text(encoding="utf-8")
    rows = re.findall(r"\| `(socsci210/[\w.-]+)`[^|]*\| ([^|]+ h) \|", text)
    assert len(rows) == 7
    for name, hours in rows:
        (plan,) = re.findall(
            r"^# Plan: +([^,]*),", recipes.find(name).read_text(encoding="utf-8"), re.MULTILINE
        )
        assert hours == plan, name


def test_bounds_in_the_guide_are_those_built_in() -> None:
    text = (ROOT / "docs" / "exporting.md").read_text(encoding="utf-8")
    shown = {
        cells[0]: {name: float(cell) for name, cell in zip(FIGURES, cells[1:], strict=False)}
        for cells in ([cell.strip() for cell in line.split("|")[1:]] for line in text.splitlines())
        if cells and cells[0] in DEFAULTS
    }
    assert shown == {kind: {name: bounds[name] for name in FIGURES} for kind, bounds in DEFAULTS.items()}


def test_figures_of_the_gate_in_the_guide_are_those_recorded() -> None:
    records = (ROOT / "bench/results/parity.jsonl").read_text(encoding="utf-8").splitlines()
    newest = {
        line["model"]["quantisation"]: line["details"]
        for line in map(json.loads, records)
        if line["name"].startswith("divergence")
        and "tiny" in (line["settings"].get("name"), line["settings"].get("recipe"))
    }
    assert len(newest) == 14
    text = (ROOT / "docs" / "exporting.md").read_text(encoding="utf-8")
    for kind, found in newest.items():
        answers = found["answers"]
        figures = f"{found['logits']['nmse']:.0e} | {answers['kl']:.0e} | {answers['wasserstein']:.4f} | {answers['top1']:.0%}"
        assert re.search(rf"^\| {kind} \|.*\| {re.escape(figures)} \|", text, re.MULTILINE), kind


def test_readme_shows_both_commands_on_its_first_screen() -> None:
    first = "\n".join((ROOT / "README.md").read_text(encoding="utf-8").splitlines()[:40])
    assert "make demo" in first
    assert "make test" in first
