"""What each objective makes of a row, and the laws that its loss keeps."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from socrates_fast import recipes
from socrates_fast.data.pairs import pairs
from socrates_fast.data.prepare import prepare_rows
from socrates_fast.data.scales import Scale, parse_scale, range_scale
from socrates_fast.data.synthetic import generate
from socrates_fast.errors import RecipeError
from socrates_fast.infer.trie import AnswerTrie
from socrates_fast.prompt import REASONING_ENDS, ChatRenderer, Prompt, opening_of
from socrates_fast.recipe import Recipe, Synthetic
from socrates_fast.tokenizer import FolderTokenizer
from socrates_fast.train.examples import examples_of
from socrates_fast.train.objectives import preference, soft
from tests.conftest import Command

DATA = ("data.synthetic.people=20", "data.pairs=true", "data.reasoning=true")


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return recipes.load("tiny", DATA)


@pytest.fixture(scope="module")
def rows(recipe: Recipe) -> pl.DataFrame:
    return prepare_rows(recipe.data)[0]["train"]


@pytest.fixture(scope="module")
def renderer(micro_base: Path) -> ChatRenderer:
    return FolderTokenizer(micro_base).renderer()


# --- soft labels ----------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(answers=st.lists(st.integers(0, 120), min_size=1, max_size=30), seed=st.integers(0, 99))
def test_the_mean_over_rows_is_the_divergence_of_the_whole_distributions(
    renderer: ChatRenderer, answers: list[int], seed: int
) -> None:
    """Answers of one to three tokens, some of which begin others; the other side is the scorer's own trie."""
    import torch

    counts = {answer: answers.count(answer) for answer in set(answers)}
    q = soft.distribution(counts, range_scale(0, 120), 0.0)
    targets = soft.targets_of(q, renderer)
    trie = AnswerTrie({answer: renderer.answer_ids(answer) for answer in q}, renderer.end_id)
    random = np.random.default_rng(seed)
    logits = {node: torch.from_numpy(random.normal(size=700)) for node in targets}

    def at(node: tuple[int, ...]) -> float:
        ids, weights = list(targets[node]), list(targets[node].values())
        found = soft.divergence(
            logits[node][None], torch.tensor([ids]), torch.tensor([weights], dtype=torch.float64)
        )
        return float(found[0])

    passed = [
        sum(at(tuple(path[:depth])) for depth in range(len(path)) if tuple(path[:depth]) in trie.nodes)
        for path in ([*renderer.answer_ids(answer), renderer.end_id] for answer in answers)
    ]
    rows = [
        torch.log_softmax(logits[node], 0).numpy()[columns]
        for node, columns in zip(trie.nodes, trie.columns, strict=True)
    ]
    p = dict(zip(trie.values.tolist(), trie.log_probabilities(rows), strict=True))
    expected = sum(weight * (np.log(weight) - p[answer]) for answer, weight in q.items())
    assert np.mean(passed) == pytest.approx(expected, rel=1e-5, abs=1e-6)


@given(
    counts=st.dictionaries(st.integers(1, 7), st.integers(1, 50), min_size=1),
    smoothing=st.floats(0, 20),
)
def test_a_cells_distribution_is_a_mean_of_its_answers_and_of_all_answers(
    counts: dict[int, int], smoothing: float
) -> None:
    found = soft.distribution(counts, range_scale(1, 7), smoothing)
    people = sum(counts.values())
    for answer in range(1, 8):
        expected = (counts.get(answer, 0) + smoothing / 7) / (people + smoothing)
        assert found.get(answer, 0.0) == pytest.approx(expected)
    assert sum(found.values()) == pytest.approx(1)


def test_an_open_scale_is_not_smoothed() -> None:
    assert soft.distribution({5: 1, 900: 3}, Scale(0, 1000, None), 7.0) == {5: 0.25, 900: 0.75}


def test_a_soft_row_is_the_hard_one_with_its_cells_answers_for_a_target(
    recipe: Recipe, rows: pl.DataFrame, renderer: ChatRenderer
) -> None:
    softened = recipes.load(
        "tiny", [*DATA, "train.objective=soft", "train.soft.own=0.25", "train.soft.smoothing=0"]
    )
    hard, found = examples_of(rows, renderer, recipe), examples_of(rows, renderer, softened)
    shares = rows.group_by("study_id", "condition_num", "task_num").agg(pl.col("response"))
    given_by = {tuple(key): answers for *key, answers in shares.iter_rows()}
    keys = rows.select("study_id", "condition_num", "task_num", "response").iter_rows()
    for one, other, (*key, answer) in zip(hard, found, keys, strict=True):
        assert isinstance(other, soft.SoftExample)
        assert (one.tokens, one.supervised) == (other.tokens, other.supervised)
        assert vars(one).items() <= vars(other).items()
        answers = given_by[tuple(key)]
        first = dict(zip(other.target_ids[0], other.target_weights[0], strict=True))
        token = renderer.answer_ids(answer)[0]
        same = sum(renderer.answer_ids(each)[0] == token for each in answers)
        assert first[token] == pytest.approx(0.25 + 0.75 * same / len(answers))
        assert all(sum(weights) == pytest.approx(1) for weights in other.target_weights)
        assert other.target_ids[-1] == [renderer.end_id] or len(other.target_ids[-1]) > 1


def test_a_sample_has_the_targets_of_all_rows(rows: pl.DataFrame, renderer: ChatRenderer) -> None:
    """Of a few rows of many studies nearly every cell would have one answer, and the loss would reward guessing."""
    recipe = recipes.load("tiny", [*DATA, "train.objective=soft"])
    every = {
        str(vars(each)["input_ids"]): vars(each)["target_weights"]
        for each in examples_of(rows, renderer, recipe)
    }
    some = examples_of(rows, renderer, recipe, most=7)
    assert len(some) == 7
    for each in some:
        assert vars(each)["target_weights"] == every[str(vars(each)["input_ids"])]


def test_soft_logits_are_capped_as_the_models_own(tmp_path: Path) -> None:
    """Gemma 2 squeezes its logits; what is read at the labels must be what the model says."""
    import torch
    from transformers import Gemma2Config, Gemma2ForCausalLM

    torch.manual_seed(0)
    config = Gemma2Config(
        vocab_size=50, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, head_dim=8, final_logit_softcapping=0.5,
    )  # fmt: skip
    model = Gemma2ForCausalLM(config).eval()
    ids = torch.randint(0, 50, (2, 9))
    labels = torch.where(torch.arange(9) > 5, ids, -100)
    with torch.no_grad():
        expected = model(input_ids=ids).logits[:, :-1][labels[:, 1:] != -100]
        soft.logits_at_labels(model)
        found = model(input_ids=ids, labels=labels, at_labels=True)
    torch.testing.assert_close(found, expected)
    assert expected.abs().max() < 0.5


def test_a_batch_keeps_each_target_beside_its_label(rows: pl.DataFrame, renderer: ChatRenderer) -> None:
    recipe = recipes.load("tiny", [*DATA, "train.objective=soft"])
    found = [vars(example) for example in examples_of(rows.head(5), renderer, recipe)]
    columns = [
        {
            **row,
            "labels": [
                i if m else -100 for i, m in zip(row["input_ids"], row["completion_mask"], strict=True)
            ],
        }
        for row in found
    ]
    batch = soft.collate(columns, pad_id=0)
    labels = batch["labels"][batch["labels"] != -100]
    assert len(labels) == len(batch["target_ids"]) == sum(map(len, (row["target_ids"] for row in found)))
    for label, ids, weights in zip(labels, batch["target_ids"], batch["target_weights"], strict=True):
        assert label in ids[weights > 0]  # what was answered is possible
    assert (
        batch["attention_mask"].sum(1) == batch["input_ids"].new_tensor([len(r["input_ids"]) for r in found])
    ).all()


# --- preferences ----------------------------------------------------------------------------------------


def test_a_pair_shares_the_prompt_and_ends_both_answers(
    recipe: Recipe, rows: pl.DataFrame, renderer: ChatRenderer
) -> None:
    found = pairs(rows, 1)
    made = preference.examples(found, renderer, recipe, found)
    for pair, chosen, rejected, hard in zip(
        made, found["response"], found["rejected"], examples_of(found, renderer, recipe), strict=True
    ):
        assert pair.chosen_ids == [*renderer.answer_ids(chosen), renderer.end_id]
        assert pair.rejected_ids == [*renderer.answer_ids(rejected), renderer.end_id]
        assert vars(hard)["input_ids"] == pair.prompt_ids + pair.chosen_ids  # as the adapter before learnt it
    strict = recipes.load("tiny", [*DATA, "train.dpo.same_stimulus=true"])
    assert len(preference.usable(found, strict)) == found["rejected_same_stimulus"].sum()


def test_the_plain_loss_is_torchs_own() -> None:
    import torch

    from socrates_fast.train.objectives.kernel import PlainLogProbabilities

    torch.manual_seed(1)
    hidden, weight = torch.randn(9, 6, requires_grad=True), torch.randn(40, 6)
    labels = torch.randint(0, 40, (9,))
    logs, entropy, _, mean, likeliest = PlainLogProbabilities.apply(
        hidden, weight, None, labels, 1.0, 1, None, 1.0, ()
    )
    [ours] = torch.autograd.grad(-logs.mean(), hidden)
    logits = hidden @ weight.T
    [theirs] = torch.autograd.grad(torch.nn.functional.cross_entropy(logits, labels), hidden)
    torch.testing.assert_close(ours, theirs)
    logits = logits.detach()
    probabilities = torch.softmax(logits, -1)
    torch.testing.assert_close(entropy, torch.special.entr(probabilities).sum(-1))
    torch.testing.assert_close(mean, logits.mean(-1))
    assert (likeliest == (logits.argmax(-1) == labels)).all()


# --- reasoning ------------------------------------------------------------------------------------------


def test_a_reasoning_is_trained_on_and_stands_before_the_answer(
    rows: pl.DataFrame, renderer: ChatRenderer
) -> None:
    recipe = recipes.load("tiny", [*DATA, "prompt.reasoning=true"])
    plain = recipes.load("tiny", DATA)
    both = zip(
        examples_of(rows, renderer, recipe),
        examples_of(rows, renderer, plain),
        rows["reasoning"],
        strict=True,
    )
    for one, other, text in both:
        said = renderer.tokenize(opening_of(text), False)
        assert one.supervised == other.supervised + len(said)
        ids = vars(one)["input_ids"]
        assert ids[-other.supervised - len(said) : -other.supervised] == said
        assert ids[-other.supervised :] == vars(other)["input_ids"][-other.supervised :]


def test_rows_without_a_reasoning_are_left_out(rows: pl.DataFrame, renderer: ChatRenderer) -> None:
    recipe = recipes.load("tiny", [*DATA, "prompt.reasoning=true"])
    some = rows.with_columns(
        reasoning=pl.when(pl.int_range(pl.len()) % 3 == 0)
        .then(None)
        .when(pl.int_range(pl.len()) % 3 == 1)
        .then(pl.lit("  "))
        .otherwise("reasoning")
    )
    assert len(examples_of(some, renderer, recipe)) == len(range(2, rows.height, 3))


@given(text=st.text(min_size=1).filter(str.strip))
def test_a_reasoning_is_one_paragraph_and_an_empty_line(text: str) -> None:
    opening = opening_of(text)
    assert opening.endswith(REASONING_ENDS) and REASONING_ENDS not in opening.removesuffix(REASONING_ENDS)
    assert opening.split() == text.split()


def test_what_was_said_changes_nothing_before_it(renderer: ChatRenderer) -> None:
    prompt = Prompt("", "How old?", range_scale(1, 7))
    said = Prompt("", "How old?", range_scale(1, 7), "Because.\n\n")
    ids = renderer.prompt_ids(prompt)
    assert renderer.prompt_ids(said) == ids + renderer.tokenize("Because.\n\n", False)


# --- recipes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["train.objective=dpo", "data.pairs=false"], "set data.pairs: true"),
        (["train.objective=dpo"], "set train.adapter"),
        (["train.objective=soft", "train.packing=true"], "set train.packing: false"),
        (["train.objective=soft", "prompt.reasoning=true"], "goes with train.objective answer"),
        (["prompt.reasoning=true", "data.reasoning=false"], "set data.reasoning: true"),
    ],
)
def test_an_objective_that_lacks_something_is_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        recipes.load("tiny", [*DATA, *overrides])


# --- whole trainings ------------------------------------------------------------------------------------


def _logged(run: Path, name: str) -> list[float]:
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    return [line[name] for line in lines if name in line]


@pytest.fixture
def agreeing(tmp_path: Path) -> Path:
    """Answers of forty people of whom four in five take the highest: there is something to prefer."""
    made = generate(Synthetic(studies=2, people=40, tasks=1)).rows
    scales = [parse_scale(stimulus) for stimulus in made["stimuli"]]
    answers = [
        scale and (scale.high if person % 5 else scale.low)
        for scale, person in zip(scales, made["participant"], strict=True)
    ]
    path = tmp_path / "agreeing.parquet"
    made.with_columns(response=pl.Series(answers, dtype=made.schema["response"])).write_parquet(path)
    return path


@pytest.mark.long
@pytest.mark.parametrize("backend", ["unsloth", "transformers"])
def test_each_objective_moves_what_it_is_about(
    command: Command, micro_recipe: Path, tmp_path: Path, agreeing: Path, backend: str
) -> None:
    """Soft labels come nearer to the cells' distributions; then DPO goes on from there and tells the answers apart."""
    given = (f"train.backend={backend}", "train.precision=float32", "train.max_steps=40", "train.eval_steps=10",
             "data.pairs=true", "data.source=files", f"data.path={agreeing}")  # fmt: skip
    options = [word for each in given for word in ("--set", each)]
    before, after = tmp_path / "soft", tmp_path / "dpo"
    done = command("train", micro_recipe, "--out", before, *options, "--set", "train.objective=soft")
    assert done.code == 0, done.err
    distances = _logged(before, "eval_loss")
    assert distances[-1] < distances[0] and distances[-1] < 0.9 * _logged(before, "loss")[0]

    done = command("train", micro_recipe, "--out", after, *options, "--set", "train.objective=dpo",
                   "--set", f"train.adapter={before}", "--set", "train.dpo.beta=1")  # fmt: skip
    assert done.code == 0, done.err
    margins = _logged(after, "rewards/margins")
    assert margins[0] == 0  # the reference is the adapter as it was, to the last bit
    assert np.mean(margins[-10:]) > 0.3
    assert _logged(after, "eval_loss")[-1] < np.log(2)  # that of one who cannot tell
    assert sorted(path.name for path in (after / "adapter").iterdir()) == [
        "adapter_config.json", "adapter_model.safetensors",
    ]  # fmt: skip


@pytest.mark.long
def test_a_model_learns_to_reason_and_its_file_knows(
    command: Command, micro_recipe: Path, tmp_path: Path
) -> None:
    from socrates_fast.infer import trained_prompt

    done = command(
        "run", micro_recipe, "--out", tmp_path / "run", "--set", "data.reasoning=true", "--set", "prompt.reasoning=true",
        "--set", "train.max_steps=30", "--set", "train.eval_steps=10", "--set", "evaluate.limit=4",
        "--set", "export.quantisations=[q8_0]", "--set", "train.backend=transformers",
    )  # fmt: skip
    assert done.code == 0, done.err
    losses = _logged(tmp_path / "run", "eval_loss")
    assert losses[-1] < losses[1] < losses[0]
    assert trained_prompt(tmp_path / "run" / "gguf" / "micro-q8_0.gguf").reasoning
    assert not trained_prompt(tmp_path / "run" / "gguf" / "base" / "base-q8_0.gguf").reasoning
    asked = command(
        "predict", tmp_path / "run" / "gguf" / "micro-q8_0.gguf", "--example", "1", "--draws", "2", "--json"
    )
    assert asked.code == 0, asked.err
    answer = json.loads(asked.out)
    assert answer["answer_mass"] > 0
