"""Baselines, the loader, the chart, and what importing costs."""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from socrates_fast.data.scales import Scale, range_scale
from socrates_fast.errors import ModelError, ScoringError
from socrates_fast.infer import load_predictor
from socrates_fast.infer.chart import MAX_ROWS, binned, charted, print_chart
from socrates_fast.infer.constant import MidpointPredictor, UniformPredictor
from socrates_fast.infer.gguf_model import GgufPredictor
from socrates_fast.infer.predictor import AnswerDistribution
from socrates_fast.prompt import Prompt


def test_uniform() -> None:
    (found,) = UniformPredictor().predict([Prompt("", "?", range_scale(0, 10))])
    assert found.values.tolist() == list(range(11))
    np.testing.assert_allclose(found.probabilities, 1 / 11)
    assert found.answer_mass == 1


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((1, 2, 3), {2: 1.0}),
        ((1, 2), {1: 0.5, 2: 0.5}),
        ((-3, -2, -1, 0), {-2: 0.5, -1: 0.5}),
        ((1, 2, 4), {2: 1.0}),
        ((0, 1, 9), {1: 1.0}),
    ],
)
def test_midpoint(values: tuple[int, ...], expected: dict[int, float]) -> None:
    (found,) = MidpointPredictor().predict([Prompt("", "?", Scale(values[0], values[-1], values))])
    pairs = zip(found.values.tolist(), found.probabilities.tolist(), strict=True)
    assert {value: probability for value, probability in pairs if probability} == expected


def test_baselines_refuse_open_scales() -> None:
    prompt = Prompt("", "?", Scale(0, 10**9, None))
    for name in ("uniform", "midpoint"):
        with pytest.raises(ScoringError, match="prompt 1: its scale is open"):
            load_predictor(name).predict([prompt])


def test_loads_a_gguf(gguf_file: Path) -> None:
    predictor = load_predictor(str(gguf_file), context=512, threads=1)
    assert isinstance(predictor, GgufPredictor)
    with predictor:
        assert predictor.name == "tiny-f32"
        assert len(predictor.predict([Prompt("", "?", range_scale(1, 7))])) == 1


def test_says_what_it_does_not_load(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is this a Hugging Face model folder"):
        load_predictor(tmp_path)
    with pytest.raises(ModelError, match="no user name or password"):
        load_predictor("https://me:secret@example.org/v1")
    with pytest.raises(ModelError, match=r"pin it with a commit: Qwen/Qwen2.5-0.5B-Instruct@COMMIT"):
        load_predictor("Qwen/Qwen2.5-0.5B-Instruct")
    with pytest.raises(ModelError, match=r"model folder nor a baseline \(uniform, midpoint\)"):
        load_predictor("unifrom")
    with pytest.raises(ModelError, match="no such file"):
        load_predictor(tmp_path / "missing.gguf")


def test_importing_loads_no_llama_cpp() -> None:
    script = (
        f"import sys; sys.path[:0] = {sys.path!r}\n"
        "import socrates_fast.infer, socrates_fast.infer.gguf_model, socrates_fast.infer.chart\n"
        "sys.exit(bool({'llama_cpp', 'torch', 'gguf', 'transformers'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def distribution(low: int, high: int) -> AnswerDistribution:
    """Probabilities that rise with the value."""
    values = np.arange(low, high + 1)
    weights = np.arange(1.0, len(values) + 1)
    return AnswerDistribution(values, weights / weights.sum(), 0.987)


def rendered(found: AnswerDistribution, labels: dict[int, str]) -> str:
    """The chart as text."""
    console = Console(file=io.StringIO(), width=100)
    print_chart(found, labels, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_chart_shows_values_labels_and_summary() -> None:
    text = rendered(distribution(-1, 1), {-1: "against [bold]", 1: "for"})
    lines = text.splitlines()
    assert lines[0].split()[:3] == ["-1", "against", "[bold]"]
    assert [line.split()[-1] for line in lines[:3]] == ["16.7%", "33.3%", "50.0%"]
    assert lines[2].count("█") > lines[1].count("█") > lines[0].count("█") > 0
    assert lines[3].split("   ") == ["mean 0.33", "median 0", "answer mass 98.7%"]


def test_what_was_not_looked_at_is_told() -> None:
    values = np.array([0, 5, 10])
    for unexplored, told in ((0.004, False), (0.013, True), (float("nan"), False)):
        text = rendered(AnswerDistribution(values, np.full(3, 1 / 3), 0.9, unexplored), {})
        assert ("at most 1.3% more was not looked at" in text) == told


def test_of_a_long_list_with_gaps_the_likeliest_are_shown() -> None:
    values = np.arange(0, 300, 10)
    weights = np.where(np.arange(30) % 3 == 0, 1.0, 4.0)
    rows = charted(AnswerDistribution(values, weights / weights.sum(), 0.9, 0.02), {10: "ten"})
    assert len(rows) == MAX_ROWS + 1
    shown = [int(name) for name, _, _ in rows[:-1]]
    assert shown == sorted(shown) and {int(value) for value in values[weights == 4]} < set(shown)
    assert rows[1][:2] == ("10", "ten")
    assert rows[-1][:2] == ("others", "9 values")
    assert sum(probability for _, _, probability in rows) == pytest.approx(1)


def test_long_scales_are_binned() -> None:
    found = distribution(0, 100)
    rows = binned(found, {0: "none", 3: "few", 100: "all"})
    assert len(rows) == MAX_ROWS
    assert rows[0][:2] == ("0 to 4", "none; few")
    assert rows[-1][:2] == ("100", "all")
    assert sum(probability for _, _, probability in rows) == pytest.approx(1)
    assert len(rendered(found, {}).splitlines()) == MAX_ROWS + 1
    assert len(binned(distribution(0, 20), {})) == 21
