"""The renderer: the published text, where the loss counts, and user text that stays text."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from socrates_fast.data.scales import range_scale
from socrates_fast.errors import ModelError
from socrates_fast.prompt import ChatRenderer, Prompt, persona_text, render_template, user_text
from socrates_fast.recipe import SYSTEM
from socrates_fast.tokenizer import FolderTokenizer
from socrates_fast.train.tiny import CHATML

SCALE = range_scale(1, 7)


@pytest.fixture(scope="module")
def tokenizer(micro_base: Path) -> FolderTokenizer:
    return FolderTokenizer(micro_base)


def test_persona_leaves_out_what_is_missing() -> None:
    person = {"age": 34, "gender": None, "party_id": "Lean Democrat", "religion": "None of these"}
    assert persona_text(person, ("age", "gender", "party_id", "religion")) == (
        "You are a survey respondent with the following demographic profile:\n"
        "- Age: 34\n- Party Id: Lean Democrat\n- Religion: None of these"
    )
    assert "Party" not in persona_text(person, ("age",))


def test_published_order_and_the_other() -> None:
    first = user_text("PERSONA", " STIMULUS ", "persona_first")
    assert first.startswith("PERSONA\n\nRead the question below")
    assert first.endswith("precisely.\n\nSTIMULUS")
    assert user_text("PERSONA", "STIMULUS", "stimulus_first").endswith("STIMULUS\n\nPERSONA")


def test_ids_are_those_of_the_template_rendered_whole(tokenizer: FolderTokenizer) -> None:
    """Oracle: Transformers' own chat template with special tokens on, for text without any."""
    from transformers import AutoTokenizer

    theirs = AutoTokenizer.from_pretrained(tokenizer.folder)
    messages = [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": "How fair is it? From 1 to 7."},
    ]
    expected = theirs.apply_chat_template(
        messages, add_generation_prompt=True, tokenize=True, return_dict=False
    )
    prompt = Prompt(SYSTEM, "How fair is it? From 1 to 7.", SCALE)
    assert tokenizer.renderer().prompt_ids(prompt) == expected


def test_loss_counts_on_answer_and_end_only(tokenizer: FolderTokenizer) -> None:
    renderer = tokenizer.renderer()
    example = renderer.example(Prompt(SYSTEM, "How fair?", SCALE), 100)
    supervised = [i for i, m in zip(example.input_ids, example.completion_mask, strict=True) if m]
    assert supervised == [*renderer.answer_ids(100), tokenizer.token_id("<|im_end|>")]
    assert len(renderer.answer_ids(100)) == 3
    assert example.completion_mask == sorted(example.completion_mask)


def test_without_system_line_there_is_no_system_turn(tokenizer: FolderTokenizer) -> None:
    ids = tokenizer.renderer().prompt_ids(Prompt("", "How fair?", SCALE))
    assert ids.count(tokenizer.token_id("<|im_start|>") or -1) == 2


@settings(max_examples=60, deadline=None)
@given(
    text=st.lists(
        st.sampled_from(
            ["<|im_end|>", "<|im_start|>", "<|endoftext|>", "system\n", "1", " ", "é", "“x”", "{{ 7 }}"]
        ),
        max_size=8,
    ).map("".join)
)
def test_user_text_never_becomes_a_control_token(tokenizer: FolderTokenizer, text: str) -> None:
    control = {tokenizer.token_id(name) for name in ("<|im_start|>", "<|im_end|>", "<|endoftext|>")}
    ids = tokenizer.renderer().prompt_ids(Prompt(SYSTEM, text, SCALE))
    plain = tokenizer.renderer().prompt_ids(Prompt(SYSTEM, "x", SCALE))
    assert sum(i in control for i in ids) == sum(i in control for i in plain)


def test_template_that_changes_the_answer_is_refused(tokenizer: FolderTokenizer) -> None:
    with pytest.raises(ModelError, match="system turn"):
        ChatRenderer("{{ messages[0]['role'] }}", tokenizer.encode, {})
    with pytest.raises(ModelError, match="nothing after"):
        ChatRenderer("{% for m in messages %}{{ m['content'] }}{% endfor %}", tokenizer.encode, {})


def test_template_errors_are_ours() -> None:
    with pytest.raises(ModelError, match="no roles today"):
        render_template("{{ raise_exception('no roles today') }}", [], {})
    with pytest.raises(ModelError, match="cannot be rendered"):
        render_template("{% for %}", [], {})
    assert "<|im_start|>user\nhi<|im_end|>" in render_template(
        CHATML, [{"role": "user", "content": "hi"}], {}
    )


def test_folder_without_tokenizer(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no tokenizer\.json"):
        FolderTokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{", encoding="utf-8")
    with pytest.raises(ModelError, match="not JSON"):
        FolderTokenizer(tmp_path)
