"""A release: the card says what is known and nothing else, its commands work, the GGUF's keys agree with it."""

import ast
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from gguf import GGUFReader
from huggingface_hub import ModelCard

from socrates_export.command import ExportResult, export
from socrates_export.release import rewrite_card
from socrates_export.release.checksums import SUMS, read_sums
from socrates_export.release.facts import RunFacts
from socrates_export.release.metadata import general_metadata
from socrates_export.release.origin import front_matter, origin_of
from socrates_export.source.base import open_base
from socrates_fast.errors import ExportError
from socrates_fast.infer.predictor import AnswerDistribution
from socrates_fast.prompt import Prompt
from socrates_fast.recipe import Parity, PromptOptions, Recipe
from socrates_fast.runs import sha256_file

OPTIONS = PromptOptions(system="You answer as the person does.", fields=("age", "gender", "ideology"))
RECIPE = Recipe.model_validate(
    {
        "name": "m",
        "data": {"source": "files", "path": "/home/anna/private/answers.parquet"},
        "model": {
            "base": "Qwen/Qwen2.5-0.5B-Instruct",
            "revision": "7ae557604adf67be50417f59c2c2f167def9a775",
        },
        "prompt": OPTIONS.model_dump(),
        "train": {"max_steps": 30, "learning_rate": 2e-4},
    }
)
SPLITS = {
    side: {"rows": 40, "studies": 2, "cells": 6, "people": 20} for side in ("train", "validation", "test")
}
DATA = {"splits": SPLITS, "dropped_rows": 3}
LICENSED = """---
license: other
license_name: tongue-twister
license_link: https://example.org/LICENSE
language: [en, fr]
---
# Base
"""


@pytest.fixture(scope="module")
def licensed_base(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny base with a card of its own and legal texts."""
    folder = tmp_path_factory.mktemp("licensed") / "base"
    shutil.copytree(base, folder)
    (folder / "README.md").write_text(LICENSED, encoding="utf-8")
    (folder / "LICENSE").write_text("You may twist.\n", encoding="utf-8")
    (folder / "NOTICE.txt").write_text("Twisted by us.\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def released(
    licensed_base: Path, adapter: Path, prompts: list[Prompt], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, ExportResult]:
    """A whole export of a run, checked by the real gate, and its folder."""
    out = tmp_path_factory.mktemp("released")
    result = export(
        licensed_base, adapter, out, ["f16", "q8_0"], "m", Parity(answers=3), prompts, options=OPTIONS,
        run=RunFacts(RECIPE, DATA), judge=mean_mass,
    )  # fmt: skip
    return out, result


def mean_mass(rows: Sequence[int], answers: Sequence[AnswerDistribution]) -> dict[str, float]:
    """One figure of an evaluation."""
    return {"answer_mass": float(np.mean([answer.answer_mass for answer in answers]))}


def text_of(out: Path) -> str:
    return (out / "README.md").read_text(encoding="utf-8")


def section(text: str, title: str) -> str:
    return text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_everything_is_delivered(released: tuple[Path, ExportResult]) -> None:
    out, result = released
    names = {
        "m-f16.gguf",
        "m-q8_0.gguf",
        "parity.json",
        "Modelfile",
        "README.md",
        "LICENSE",
        "NOTICE.txt",
        SUMS,
    }
    assert {path.name for path in out.iterdir()} == names
    assert {path.name for path in result.delivered} == names
    assert read_sums(out) == {name: sha256_file(out / name) for name in names - {SUMS}}
    assert (out / "LICENSE").read_text() == "You may twist.\n"
    assert json.loads((out / "parity.json").read_text()) == result.parity
    check = subprocess.run(["sha256sum", "-c", "--quiet", SUMS], cwd=out, check=False, capture_output=True)
    assert check.returncode == 0


def test_the_hub_reads_its_front_matter(released: tuple[Path, ExportResult]) -> None:
    card = ModelCard.load(released[0] / "README.md")
    assert card.data.to_dict() == {
        "base_model": "Qwen/Qwen2.5-0.5B-Instruct",
        "base_model_relation": "finetune",
        "library_name": "gguf",
        "license": "other",
        "license_name": "tongue-twister",
        "license_link": "https://example.org/LICENSE",
        "pipeline_tag": "text-generation",
        "tags": ["gguf", "llama.cpp", "survey-experiments", "text-generation", "lora"],
    }
    card.data.to_yaml()


def test_no_figure_without_its_source(released: tuple[Path, ExportResult]) -> None:
    out, result = released
    text = text_of(out)
    files, parity = section(text, "Files"), section(text, "Is it the model that was trained?")
    for kind, fact in result.parity["files"].items():
        assert f"`{fact['sha256']}`" in files and f"[{fact['file']}]({fact['file']})" in files
        assert f"| {kind} |" in parity and f"{fact['bytes']:,}" in parity
        assert f"{result.parity['logits']['types'][kind]['nmse']:.2g}" in parity
        assert f"{result.parity['answers']['types'][kind]['kl']:.2g}" in parity
    changed = result.parity["metrics"]
    changes = " | ".join(
        f"{changed['types'][kind]['answer_mass']['difference']:+.2g}" for kind in ("f16", "q8_0")
    )
    assert f"| `answer_mass` | {changed['original']['answer_mass']:.3g} | {changes} |" in parity
    asked = result.parity["logits"]["prompts"], result.parity["answers"]["prompts"]
    assert "logits of {} prompts and the answers to {} (".format(*asked) in parity
    assert f"for {result.parity['tokens']['texts']} texts" in parity
    assert "| train | 40 | 20 | 2 | 6 |" in section(text, "Data")
    assert "left out: 3." in section(text, "Data")
    assert "No evaluation of these files was at hand" in section(text, "Evaluation")
    trained = section(text, "How it was trained")
    assert "rank 8 (alpha 16)" in trained and "30 optimiser steps" in trained and "0.0002" in trained
    assert "`other` (tongue-twister, https://example.org/LICENSE)" in section(text, "What it is")


def test_the_recipe_is_whole_but_for_paths_of_the_machine(released: tuple[Path, ExportResult]) -> None:
    text = text_of(released[0])
    recipe = re.search(r"<details>.*?```yaml\n(.*?)\n```.*?</details>", text, re.DOTALL)
    assert recipe is not None
    expected = RECIPE.model_dump(mode="json")
    expected["data"]["path"] = "answers.parquet"
    assert yaml.safe_load(recipe[1]) == expected
    assert "/home/" not in text and str(released[0]) not in text


def test_it_is_markdown_whose_fences_close_and_whose_tables_are_whole(
    released: tuple[Path, ExportResult],
) -> None:
    outside: list[str] = []
    fence = ""
    for line in text_of(released[0]).split("\n---\n", 1)[1].splitlines():
        mark = re.match(r"`{3,}", line)
        if not fence:
            outside.append(line)
        if mark and (not fence or line == fence):
            fence = "" if fence else mark[0]
    assert fence == ""
    tables = re.findall(r"(?:^\|.*\|\n)+", "\n".join(outside), re.MULTILINE)
    assert len(tables) == 5
    for table in tables:
        assert len({row.count("|") for row in table.splitlines()}) == 1
    assert not re.search(r"\n\n\n|[ \t]\n|\{\{|\{%", "\n".join(outside))


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)\n```", text, re.DOTALL)


def probabilities(out: Path) -> dict[int, float]:
    """What the card's Python prints."""
    [code] = blocks(text_of(out), "python")
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=out, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return {int(answer): float(p) for answer, p in map(str.split, done.stdout.splitlines())}


def test_its_python_and_its_command_agree(released: tuple[Path, ExportResult]) -> None:
    out, _ = released
    printed = probabilities(out)
    [command] = [block for block in blocks(text_of(out), "sh") if "socrates-fast predict" in block]
    line = command.splitlines()[0].rstrip("\\") + command.splitlines()[1] + " --json"
    ours = line.replace("socrates-fast", f"{sys.executable} -m socrates_fast", 1)
    done = subprocess.run(
        ["bash", "-c", ours], cwd=out, env={"PYTHONPATH": ":".join(sys.path), "PATH": "/usr/bin:/bin"},
        capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    expected = {
        value: p * document["answer_mass"]
        for value, p in zip(document["values"], document["probabilities"], strict=True)
    }
    # No answer begins another, so each is its first token; the command computes with float16 keys and values.
    assert printed == pytest.approx(expected, abs=2e-3)


def test_its_shell_is_read_as_it_is_meant(released: tuple[Path, ExportResult], tmp_path: Path) -> None:
    """bash gives the programs the very prompt: the same text for printf, curl's JSON and Python."""
    text = text_of(released[0])
    [code] = blocks(text, "python")
    prompt = re.search(r"^prompt = (.*)$", code, re.MULTILINE)
    assert prompt is not None
    expected = ast.literal_eval(prompt[1])
    stand_ins = "curl() { cat > request.json; }; llama-completion() { printf '%s\\n' \"$@\" > asked; }; "
    shell = [block for block in blocks(text, "sh") if block.startswith(("curl", "printf"))]
    assert len(shell) == 2
    for block in shell:
        subprocess.run(["bash", "-c", stand_ins + block], cwd=tmp_path, check=True)
    assert (tmp_path / "prompt.txt").read_text() == expected
    assert json.loads((tmp_path / "request.json").read_text())["prompt"] == expected
    asked = (tmp_path / "asked").read_text().split()
    assert asked[asked.index("-m") + 1] == "m-q8_0.gguf"
    assert "{answer}" in text and expected.startswith("<|im_start|>system\nYou answer as")


def keys(path: Path) -> dict[str, Any]:
    fields = GGUFReader(path).fields
    return {
        name: field.contents()
        for name, field in fields.items()
        if name.startswith(("general.", "socrates_fast."))
    }


def test_the_files_say_what_they_are(released: tuple[Path, ExportResult], adapter: Path) -> None:
    found = keys(released[1].files["q8_0"])
    assert found["general.name"] == found["general.finetune"] == "m"
    assert found["general.basename"] == "Qwen2.5"
    # The id says 0.5B, the tensors say otherwise; then llama.cpp takes it for a context length.
    assert found["general.size_label"] == "119K"
    assert found["general.license"] == "other"
    assert found["general.license.name"] == "tongue-twister"
    assert found["general.license.link"] == "https://example.org/LICENSE"
    assert found["general.base_model.count"] == 1
    assert found["general.base_model.0.name"] == "Qwen2.5 0.5B Instruct"
    assert found["general.base_model.0.organization"] == "Qwen"
    assert found["general.base_model.0.version"] == RECIPE.model.revision
    assert found["general.base_model.0.repo_url"].endswith("/Qwen/Qwen2.5-0.5B-Instruct")
    assert found["general.sampling.temp"] == found["general.sampling.top_p"] == 1
    assert found["general.sampling.top_k"] == found["general.sampling.min_p"] == 0
    assert found["socrates_fast.adapter.sha256"] == sha256_file(adapter / "adapter_model.safetensors")
    assert "general.languages" not in found and "general.quantized_by" not in found
    assert json.loads(found["socrates_fast.prompt"])["system"] == OPTIONS.system


def test_where_nothing_is_known_nothing_is_said(base: Path, prompts: list[Prompt], tmp_path: Path) -> None:
    result = export(base, None, tmp_path, ["f32"], "b", Parity(logits=False), prompts)
    found = keys(result.files["f32"])
    assert not [
        name for name in found if re.search("license|base_model|languages|dataset|basename|adapter", name)
    ]
    text = text_of(tmp_path)
    assert set(front_matter(tmp_path / "README.md")) == {"library_name", "pipeline_tag", "tags"}
    assert "does not state one" in text and "does not say which model of the Hub it is" in text
    assert "Logits were not compared" in text and "nobody knows" in text
    assert "It was not: these are the base model's own weights." in text
    assert "What it was trained on is not known here" in text
    assert "lora" not in text.lower() and str(base) not in text
    assert "## Data" not in text


def test_an_exported_base_keeps_what_its_own_card_says(licensed_base: Path, tmp_path: Path) -> None:
    found = general_metadata(open_base(licensed_base), "b", None)
    assert found["general.languages"] == ["en", "fr"]
    assert origin_of(open_base(licensed_base), None, None).id == ""


def test_the_id_of_a_download_and_of_an_adapter(licensed_base: Path, adapter: Path, tmp_path: Path) -> None:
    revision = "7ae557604adf67be50417f59c2c2f167def9a775"
    cached = tmp_path / "models--Qwen--Qwen2.5-0.5B-Instruct" / "snapshots" / revision
    shutil.copytree(licensed_base, cached)
    origin = origin_of(open_base(cached), None, None)
    assert (origin.id, origin.revision) == ("Qwen/Qwen2.5-0.5B-Instruct", revision)
    named = tmp_path / "adapter"
    shutil.copytree(adapter, named)
    config = json.loads((named / "adapter_config.json").read_text())
    for name, expected in {"meta-llama/Llama-3.2-1B": "meta-llama/Llama-3.2-1B", "./base": "", "/models/base": "",
                           "base": "", None: ""}.items():  # fmt: skip
        (named / "adapter_config.json").write_text(json.dumps({**config, "base_model_name_or_path": name}))
        assert origin_of(open_base(licensed_base), named, None).id == expected


@pytest.mark.parametrize(
    "card",
    [
        "",
        "# no front matter",
        "---\nlicense: mit\n",
        "---\n- a\n---\n",
        "---\na: [\n---\n",
        "---\n---\n",
        "\xff",
    ],
)
def test_a_base_card_that_says_nothing(card: str, tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text(card, encoding="latin-1")
    assert front_matter(path) == {}


def test_later_an_evaluation_comes_to_the_card(
    released: tuple[Path, ExportResult], licensed_base: Path, adapter: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(released[0], out)
    figure = {"value": 0.25, "low": 0.2, "high": 0.3}
    metrics = {
        "rows": {"value": 24}, "studies": {"value": 6}, "mae": figure, "correlation": {"value": None},
        "answer_mass": {"value": 0.9}, "notes": ["Few people."], "banners": ["Cannot tell."],
        "floor": {"mae": {"value": 0.2}},
        "baselines": {"uniform": {"mae": {"value": 0.3}, "correlation": {"value": None}}},
    }  # fmt: skip

    def rewrite(evaluated: str) -> bool:
        facts = RunFacts(RECIPE, DATA, metrics, evaluated)
        return rewrite_card(out, "m", licensed_base, adapter, OPTIONS, facts, "original")

    assert not rewrite("0" * 64)  # an evaluation of another file says nothing about these
    assert text_of(out) == text_of(released[0])
    assert rewrite(sha256_file(out / "m-q8_0.gguf"))
    evaluation = section(text_of(out), "Evaluation")
    assert "`m-q8_0.gguf` on 24 rows of 6 studies" in evaluation
    assert "| `mae` | 0.25 (0.2 to 0.3) | 0.2 | 0.3 |" in evaluation
    assert "| `correlation` | – |  | – |" in evaluation
    assert "- **Cannot tell.**\n- Few people." in evaluation
    assert read_sums(out) == {path.name: sha256_file(path) for path in out.iterdir() if path.name != SUMS}
    assert not rewrite(sha256_file(out / "m-q8_0.gguf"))


def test_a_persons_readme_is_not_replaced(base: Path, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("my project", encoding="utf-8")
    with pytest.raises(ExportError, match=r"README\.md would be replaced"):
        export(base, None, tmp_path, ["f16"], "m", Parity(logits=False), [], verify=False)
    assert {path.name for path in tmp_path.iterdir()} == {"README.md"}
    assert (tmp_path / "README.md").read_text(encoding="utf-8") == "my project"
