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
    with pytest.raises(ModelError, match="user turn"):
        ChatRenderer("{{ messages[0]['role'] }}", tokenizer.encode, {})
    with pytest.raises(ModelError, match="nothing after"):
        ChatRenderer("{% for m in messages %}{{ m['content'] }}{% endfor %}", tokenizer.encode, {})


def rendered(template: str, system: str, tokenizer: FolderTokenizer) -> str:
    renderer = ChatRenderer(template, tokenizer.encode, {"eos_token": "<|im_end|>"})
    ids = renderer.prompt_ids(Prompt(system, "How fair?", SCALE))
    return tokenizer._tokenizer.decode(ids, skip_special_tokens=False)


TURNS = "{% for m in messages %}<{{ m.role }}>{{ m.content }}<|im_end|>{% endfor %}"


@pytest.mark.parametrize(
    "template",
    [
        "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}" + TURNS,
        "{% for m in messages if m.role != 'system' %}<{{ m.role }}>{{ m.content }}<|im_end|>{% endfor %}",
    ],
    ids=["refused", "left out"],
)
def test_a_system_line_without_a_place_begins_the_users_turn(
    tokenizer: FolderTokenizer, template: str
) -> None:
    assert rendered(template, "Be fair.", tokenizer) == "<user>Be fair.\n\nHow fair?<|im_end|><assistant>"
    assert rendered(template, "", tokenizer) == "<user>How fair?<|im_end|><assistant>"


def test_a_system_line_that_is_printed_in_the_last_turn_only(tokenizer: FolderTokenizer) -> None:
    """As Mistral Nemo's: before the user's words, if no answer follows."""
    template = (
        "{% set s = messages[0].content if messages[0].role == 'system' else '' %}"
        "{% for m in messages if m.role != 'system' %}{% if m.role == 'user' %}"
        "[{{ s + '//' if s and loop.last else '' }}{{ m.content }}]{% else %}{{ m.content }}<|im_end|>{% endif %}{% endfor %}"
    )
    assert rendered(template, "Be fair.", tokenizer) == "[Be fair.//How fair?]"
    assert rendered(template, "", tokenizer) == "[How fair?]"


def test_answers_come_without_thinking(tokenizer: FolderTokenizer) -> None:
    """As Qwen 3's: a finished answer follows an empty thought, though a program that asks may be given none."""
    template = TURNS.replace(
        "{{ m.content }}", "{{ '<think></think>' if m.role == 'assistant' else '' }}{{ m.content }}"
    )
    assert rendered(template, "", tokenizer).endswith("<assistant><think></think>")


def test_the_templates_clock_stands_still(tokenizer: FolderTokenizer) -> None:
    template = "{{ strftime_now('%d %b %Y') }}{% generation %}" + TURNS + "{% endgeneration %}"
    assert rendered(template, "", tokenizer).startswith("26 Jul 2024<user>How")


def test_spaces_at_the_seams_go_to_the_text_after_them(tokenizer: FolderTokenizer) -> None:
    template = "{% for m in messages %}{{ m.role }}: {{ m.content }} <|im_end|> {% endfor %}"
    renderer = ChatRenderer(template, tokenizer.encode, {})
    ids = renderer.prompt_ids(Prompt("", "How fair?", SCALE))
    assert ids == tokenizer.encode("user: How fair? <|im_end|> assistant: ", True)
    assert renderer.end_id == tokenizer.token_id("<|im_end|>")


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
