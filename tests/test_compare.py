"""``socrates-fast compare`` as people call it: exit codes, what stands on stdout, and files."""

import json
from pathlib import Path

import pytest

from tests.conftest import Command
from tests.evaluate.comparing import evaluated, predicted, survey


@pytest.fixture(scope="module")
def evaluations(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    out = tmp_path_factory.mktemp("evaluations")
    rows = survey()
    return {
        "base": evaluated(rows, predicted(rows, 0.3), out / "base", "base"),
        "tuned": evaluated(rows, predicted(rows, 0.8), out / "tuned", "tuned"),
        "other": evaluated(rows[1:], predicted(rows[1:], 0.8), out / "other", "tuned"),
    }


def test_json_is_one_document_and_nothing_else(
    command: Command, evaluations: dict[str, Path], tmp_path: Path
) -> None:
    outcome = command("compare", evaluations["base"], evaluations["tuned"], "--json", "--out", "out")
    assert outcome.code == 0, outcome.err
    assert outcome.err == ""
    assert outcome.out.count("\n") == 1
    assert json.loads(outcome.out) == json.loads(
        (tmp_path / "out/comparison.json").read_text(encoding="utf-8")
    )
    names = [f"comparison.{kind}" for kind in ("html", "json", "md", "png", "svg")]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names


def test_without_out_nothing_is_written(
    command: Command, evaluations: dict[str, Path], tmp_path: Path
) -> None:
    outcome = command("compare", evaluations["base"], evaluations["tuned"], COLUMNS="80")
    assert outcome.code == 0, outcome.err
    assert outcome.err == ""
    assert "B against A, Wasserstein, stated range: better." in outcome.out
    assert max(map(len, outcome.out.splitlines())) <= 80
    assert not list(tmp_path.iterdir())


def test_the_page_is_named_where_there_is_one(command: Command, evaluations: dict[str, Path]) -> None:
    outcome = command("compare", evaluations["base"], evaluations["tuned"], "--out", "out")
    assert outcome.code == 0, outcome.err
    assert outcome.out.endswith("out/comparison.html\n")


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("base", "other"), ["different rows", "--limit"]),
        (("base", "base"), ["the same folder"]),
        (("base",), ["two evaluations at least"]),
        ((), ["EVALUATION"]),
    ],
)
def test_refusals_end_with_a_message_and_write_nothing(
    command: Command, evaluations: dict[str, Path], tmp_path: Path, names: tuple[str, ...], words: list[str]
) -> None:
    outcome = command("compare", *(evaluations[name] for name in names), "--out", "out")
    assert outcome.code == 2
    assert outcome.out == ""
    assert outcome.err.startswith("error: ")
    assert "Traceback" not in outcome.err
    for word in (*words, *(str(evaluations[name]) for name in names)):
        assert word in outcome.err
    assert not list(tmp_path.iterdir())


def test_a_folder_without_an_evaluation(command: Command, evaluations: dict[str, Path]) -> None:
    outcome = command("compare", evaluations["base"], "nowhere")
    assert outcome.code == 2
    assert "nowhere/metrics.json: no evaluation there" in outcome.err
