"""Answer distributions of a file and of the original: the distances, and that a sound file has none."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import entropy, wasserstein_distance

from socrates_export.proof.answers import answer_difference, gguf_answers, kullback_leibler, wasserstein
from socrates_export.proof.comparison import NO_ANSWERS, NO_SCALE, Comparison
from socrates_fast.data.scales import Scale, range_scale
from socrates_fast.infer.predictor import AnswerDistribution
from socrates_fast.prompt import Prompt
from socrates_fast.recipe import Bounds
from tests.export.conftest import write_model
from tests.export.originals import original_of, questions_of

Factory = Callable[..., Path]


@st.composite
def pairs(draw: st.DrawFn) -> tuple[AnswerDistribution, AnswerDistribution]:
    values = np.array(sorted(draw(st.sets(st.integers(-50, 1000), min_size=1, max_size=12))))
    weights = st.lists(
        st.sampled_from([1e-9, 0.1, 0.5, 1.0, 3.0]), min_size=len(values), max_size=len(values)
    )
    two = [np.array(draw(weights)) for _ in range(2)]
    masses = draw(st.tuples(st.floats(0, 1), st.floats(0, 1)))
    p, q = (AnswerDistribution(values, w / w.sum(), mass) for w, mass in zip(two, masses, strict=True))
    return p, q


@given(pairs())
def test_distances_are_scipys(pair: tuple[AnswerDistribution, AnswerDistribution]) -> None:
    p, q = pair
    assert kullback_leibler(p.probabilities, q.probabilities) == pytest.approx(
        entropy(p.probabilities, q.probabilities), abs=1e-12
    )
    span = p.values[-1] - p.values[0]
    moved = wasserstein_distance(p.values, q.values, p.probabilities, q.probabilities)
    assert wasserstein(p, q) == pytest.approx(moved / span if span else 0.0, abs=1e-12)
    assert 0 <= wasserstein(p, q) <= 1 + 1e-12


@given(st.lists(pairs(), min_size=1, max_size=6))
def test_means_and_extremes(given_pairs: list[tuple[AnswerDistribution, AnswerDistribution]]) -> None:
    original, exported = zip(*given_pairs, strict=True)
    found = answer_difference(original, exported)
    kl = [entropy(p.probabilities, q.probabilities) for p, q in given_pairs]
    distance = [wasserstein(p, q) for p, q in given_pairs]
    assert found.kl == pytest.approx(np.mean(kl), abs=1e-12)
    assert found.kl_max == pytest.approx(max(kl), abs=1e-12)
    assert found.wasserstein == pytest.approx(np.mean(distance)) and found.wasserstein_max == max(distance)
    assert found.top1 == np.mean(
        [np.argmax(p.probabilities) == np.argmax(q.probabilities) for p, q in given_pairs]
    )
    assert found.answer_mass == pytest.approx(np.mean([q.answer_mass for q in exported]))
    assert found.answer_mass_original == pytest.approx(np.mean([p.answer_mass for p in original]))
    gaps = [abs(p.answer_mass - q.answer_mass) for p, q in given_pairs]
    assert found.answer_mass_max == pytest.approx(max(gaps))


def test_a_probability_of_zero_is_a_large_distance_and_still_a_number() -> None:
    p, q = np.array([0.5, 0.5, 0.0]), np.array([1.0, 0.0, 0.0])
    assert 300 < kullback_leibler(p, q) < 400
    assert kullback_leibler(q, p) == pytest.approx(np.log(2))


SCALES = (
    range_scale(1, 7),
    range_scale(0, 100),
    Scale(-5, 300, (-5, 1, 10, 12, 100, 101, 300)),
    range_scale(3, 3),
)


def test_a_float32_file_answers_as_the_original(
    base: Path, adapter: Path, prompts: list[Prompt], tmp_path: Path
) -> None:
    asked = [replace(prompt, scale=scale) for scale in SCALES for prompt in prompts]
    questions = questions_of(base, asked)
    write_model(tmp_path / "x.gguf", base, adapter, "f32")
    found = answer_difference(
        original_of(base, adapter, questions).answers, gguf_answers(tmp_path / "x.gguf", questions)
    )
    assert found.kl_max < 1e-8 and found.wasserstein_max < 1e-5 and found.top1 == 1
    assert found.answer_mass_max < 1e-6 and 0 < found.answer_mass < 1


def compared(
    file: Path, base: Path, asked: list[Prompt], bounds: Bounds, judged: bool = False
) -> tuple[dict[str, object], list[str]]:
    """What ``Comparison`` finds of a file that should be ``base``, and its faults."""
    questions = questions_of(base, asked)
    faults: list[str] = []

    def judge(numbers: object, answers: object) -> dict[str, float]:
        assert numbers == [question.number for question in questions if question.trie is not None]
        assert isinstance(answers, list)
        return {"mean": float(np.mean([one.mean for one in answers]))}

    comparison = Comparison(
        {"q8_0": file}, {"q8_0": bounds}, questions, original_of(base, None, questions),
        lambda _, fault: faults.append(fault), lambda _: None,
    )  # fmt: skip
    return comparison.run(judge if judged else None), faults


def test_every_bound_that_is_broken_is_named(base: Path, prompts: list[Prompt], tmp_path: Path) -> None:
    write_model(tmp_path / "x.gguf", base, None, "q8_0")
    _, faults = compared(tmp_path / "x.gguf", base, prompts, Bounds())
    assert faults == []
    sharp = Bounds(nmse=1e-12, kl=1e-12, wasserstein=1e-12, top1=1)
    content, faults = compared(tmp_path / "x.gguf", base, prompts, sharp)
    for name in ("nmse", "kl", "wasserstein"):
        assert sum(f"more than 1e-12 (export.parity.bounds.q8_0.{name})" in fault for fault in faults) == 1
    assert content["bounds"] == {"q8_0": sharp.model_dump()}


def test_other_answers_break_the_bound_on_top1(
    base: Path, make_base: Factory, prompts: list[Prompt], tmp_path: Path
) -> None:
    write_model(tmp_path / "x.gguf", make_base(num_hidden_layers=1), None, "f16")
    asked = [replace(prompt, scale=scale) for prompt in prompts for scale in SCALES[:3]]
    _, faults = compared(tmp_path / "x.gguf", base, asked, Bounds(top1=1))
    assert len(faults) == 1
    assert "less than 1.0 (export.parity.bounds.q8_0.top1)" in faults[0]


def test_metrics_are_of_the_rows_whose_answers_were_compared(
    base: Path, prompts: list[Prompt], tmp_path: Path
) -> None:
    write_model(tmp_path / "x.gguf", base, None, "q8_0")
    open_scale = replace(prompts[0], scale=Scale(0, 10**6, None))
    content, _ = compared(tmp_path / "x.gguf", base, [prompts[0], open_scale, *prompts[1:]], Bounds(), True)
    metrics = content["metrics"]
    assert isinstance(metrics, dict) and metrics["rows"] == 3
    figure = metrics["types"]["q8_0"]["mean"]
    assert figure["value"] - metrics["original"]["mean"] == figure["difference"]
    assert 0 < abs(figure["difference"]) < 0.1
    without_people, _ = compared(tmp_path / "x.gguf", base, prompts, Bounds())
    assert without_people["metrics"] == NO_ANSWERS
    nothing_closed, faults = compared(tmp_path / "x.gguf", base, [open_scale], Bounds(kl=1e-12), True)
    assert nothing_closed["answers"] == nothing_closed["metrics"] == NO_SCALE and faults == []


def test_probabilities_that_are_not_numbers_are_a_fault_of_the_file(
    base: Path, prompts: list[Prompt], tmp_path: Path
) -> None:
    from gguf import GGUFReader

    file = tmp_path / "x.gguf"
    write_model(file, base, None, "f16")
    tensor = next(t for t in GGUFReader(file).tensors if t.name == "output_norm.weight")
    with file.open("r+b") as handle:
        handle.seek(int(tensor.data_offset))
        handle.write(np.full(64, np.nan, np.float32).tobytes())
    content, faults = compared(file, base, prompts, Bounds())
    assert "NMSE of its logits: nan, not a number (export.parity.bounds.q8_0.nmse)" in faults
    assert any("not numbers (NaN)" in fault for fault in faults)
    assert content["answers"] == {
        "prompts": 3, "arithmetic": "float32 keys, values and attention", "types": {},
    }  # fmt: skip
