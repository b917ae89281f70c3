"""Tiny random Qwen2 models, LoRA adapters of them, and prompts: everything real, nothing downloaded."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from socrates_export.source.merged import open_merged
from socrates_export.vocabulary.byte_level import QWEN2_SPLIT
from socrates_export.write.files import model_metadata, write_files
from socrates_fast.data.scales import range_scale
from socrates_fast.prompt import Prompt, persona_text, user_text

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
VOCABULARY = 512
"""Rows of the embedding; the tokenizer has fewer tokens, as Qwen's has."""

BaseFactory = Callable[..., Path]
AdapterFactory = Callable[..., Path]

EVERY_LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def write_model(path: Path, base: Path, adapter: Path | None, kind: str, name: str = "x") -> None:
    """Write base + adapter to ``path`` as a GGUF of type ``kind``."""
    model = open_merged(base, adapter)
    write_files(model, model_metadata(model, name), {kind: path})


def write_tokenizer(folder: Path) -> None:
    """A byte-level BPE tokenizer in Qwen2's shape, with ChatML's control tokens and one plain added token."""
    from tokenizers import (
        AddedToken,
        Regex,
        Tokenizer,
        decoders,
        models,
        normalizers,
        pre_tokenizers,
        trainers,
    )

    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    split = pre_tokenizers.Split(Regex(QWEN2_SPLIT), behavior="isolated")
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, byte_level])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=480, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    texts = [prompt.user for prompt in make_prompts()] + ["Привет, мир! 日本語 I've they'll 2024 \n\n\t  x"]
    tokenizer.train_from_iterator(texts, trainer)
    control = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in control])
    tokenizer.add_tokens([AddedToken("<tool_call>", special=False, normalized=False)])
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "bos_token": None,
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "chat_template": CHATML,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def make_prompts() -> list[Prompt]:
    """Three rendered questions, one with control tokens in the respondent's own words."""
    stimuli = [
        "A city bans cars. How fair is it? Only return an integer from 1 to 7, where 1 means unfair.",
        "How much would you pay in $? Only return an integer from 0 to 100.",
        "Naïve café <|im_end|> 🚀: do you agree? Only return an integer from 1 to 5.",
    ]
    return [
        Prompt(
            "You are simulating a survey respondent." if age % 2 else "",
            user_text(persona_text({"age": age, "gender": "Female"}), stimulus, "persona_first"),
            range_scale(1, 7),
        )
        for age, stimulus in enumerate(stimuli, start=31)
    ]


@pytest.fixture(scope="session")
def prompts() -> list[Prompt]:
    return make_prompts()


@pytest.fixture(scope="session")
def make_base(tmp_path_factory: pytest.TempPathFactory) -> BaseFactory:
    """``make_base(tied=True, dtype="bfloat16", shard="5GB", hidden=64)``: the folder of a random Qwen2."""
    made: dict[str, Path] = {}

    def make(tied: bool = True, dtype: str = "bfloat16", shard: str = "5GB", **sizes: int) -> Path:
        key = str((tied, dtype, shard, sorted(sizes.items())))
        if key not in made:
            made[key] = tmp_path_factory.mktemp("base")
            _write_model(made[key], tied, dtype, shard, sizes)
            write_tokenizer(made[key])
        return made[key]

    return make


def _write_model(folder: Path, tied: bool, dtype: str, shard: str, sizes: dict[str, int]) -> None:
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    shape = {"hidden_size": 64, "intermediate_size": 160, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = Qwen2Config(
        vocab_size=VOCABULARY,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        tie_word_embeddings=tied,
        rope_parameters={"rope_type": "default", "rope_theta": 50_000.0},
        **{**shape, **sizes},
    )
    torch.manual_seed(11)
    model = Qwen2ForCausalLM(config)
    with torch.no_grad():
        # Fresh biases are zero and norms one, which would hide that they are lost or swapped.
        for name, parameter in model.named_parameters():
            centre = 1.0 if "norm" in name else 0.0
            parameter.copy_(centre + 0.15 * torch.randn_like(parameter))
    model.to(getattr(torch, dtype)).save_pretrained(folder, max_shard_size=shard)


@pytest.fixture(scope="session")
def make_adapter(tmp_path_factory: pytest.TempPathFactory) -> AdapterFactory:
    """``make_adapter(base, **LoraConfig arguments)``: the folder of an adapter with random A and B."""

    def make(base: Path, **arguments: Any) -> Path:
        import torch
        from peft import LoraConfig, get_peft_model
        from transformers import AutoModelForCausalLM

        torch.manual_seed(5)
        model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        config = LoraConfig(**{"r": 8, "lora_alpha": 16, "target_modules": EVERY_LINEAR, **arguments})
        adapted = get_peft_model(model, config)
        with torch.no_grad():
            for name, parameter in adapted.named_parameters():
                if "lora_" in name:
                    parameter.copy_(0.1 * torch.randn_like(parameter))
        folder = tmp_path_factory.mktemp("adapter")
        adapted.save_pretrained(folder)
        return folder

    return make


@pytest.fixture(scope="session")
def base(make_base: BaseFactory) -> Path:
    return make_base()


@pytest.fixture(scope="session")
def adapter(base: Path, make_adapter: AdapterFactory) -> Path:
    return make_adapter(base)


@pytest.fixture(scope="session")
def llama_cpp() -> Path:
    """llama.cpp's own source, of the pinned version; for tests marked ``oracle``."""
    from socrates_bench.llama_source import llama_source

    return llama_source()
