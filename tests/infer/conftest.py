"""A tiny random Qwen2-architecture model, as a Hugging Face folder and as a float32 GGUF."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from socrates_fast.infer.gguf_model import GgufPredictor
from socrates_fast.infer.hf_model import HuggingFacePredictor
from tests.infer.endpoint_server import Serve, Standin, serve
from tests.infer.prompts import STIMULI, SYSTEM

CONTROL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
QWEN2_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CORPUS = [
    SYSTEM,
    "You are a survey respondent with the following demographic profile: Age Gender Education Party Id",
    "How likely are you to support the policy? Only return an integer from 1 to 7, where 1 means not at all",
    "Read the question below and answer exactly as this person would. Follow the response instructions.",
]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Hugging Face folder with a random tiny Qwen2 in float32."""
    path = tmp_path_factory.mktemp("tiny-model")
    write_tokenizer(path)
    write_model(path)
    return path


@pytest.fixture(scope="session")
def gguf_file(folder: Path) -> Path:
    """The same model as a float32 GGUF."""
    path = folder / "tiny-f32.gguf"
    write_gguf(folder, path)
    return path


@pytest.fixture(scope="session", params=["f16", "q8_0", "q5_0"])
def small_file(folder: Path, request: pytest.FixtureRequest) -> Path:
    """The same model in types that llama.cpp computes with other kernels."""
    path = folder / f"tiny-{request.param}.gguf"
    write_gguf(folder, path, request.param)
    return path


@pytest.fixture(scope="session")
def predictor(gguf_file: Path) -> Iterator[GgufPredictor]:
    """The GGUF loaded with float32 arithmetic throughout."""
    with GgufPredictor(gguf_file, context=1024, batch=128, threads=1, exact=True) as loaded:
        yield loaded


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Starts endpoints and stops them in the end; no key is in the environment."""
    for name in ("SOCRATES_FAST_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    with ExitStack() as stack:
        yield lambda *answers, **more: stack.enter_context(serve(Standin(*answers, **more)))


@pytest.fixture(scope="session")
def ours(folder: Path) -> HuggingFacePredictor:
    """The model by Transformers, in float32."""
    return HuggingFacePredictor(folder, device="cpu")


@pytest.fixture(scope="session")
def adapter(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LoRA of every linear layer, the output matrix too, that PEFT saved."""
    import torch
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(3)
    adapted = get_peft_model(plain(folder), LoraConfig(r=4, lora_alpha=8, target_modules="all-linear"))
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_" in name:
                parameter.copy_(0.15 * torch.randn_like(parameter))
    path = tmp_path_factory.mktemp("run") / "adapter"
    adapted.save_pretrained(path)
    return path


def plain(folder: Path, **options: Any) -> Any:
    """The model as Transformers loads it, in float32."""
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **options).eval()


def write_tokenizer(folder: Path) -> None:
    """A byte-level BPE of about 500 tokens that splits digits singly, as Qwen2's does."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN2_SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=497,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS + STIMULI, trainer)
    tokenizer.add_special_tokens(list(CONTROL))
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "chat_template": CHATML}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def write_model(folder: Path) -> None:
    """Random weights, large enough that the answers are far from uniform."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(0)
    n_tokens = len(json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"])
    config = Qwen2Config(
        vocab_size=n_tokens + len(CONTROL),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        initializer_range=0.25,
        tie_word_embeddings=False,
    )
    Qwen2ForCausalLM(config).float().save_pretrained(folder)


def write_gguf(folder: Path, path: Path, kind: str = "f32") -> None:
    """Convert a Qwen2 folder in float32 to a GGUF whose matrices are of type ``kind``."""
    from gguf import MODEL_ARCH, GGMLQuantizationType, GGUFWriter, get_tensor_name_map
    from gguf.quants import quantize
    from safetensors.numpy import load_file

    config = json.loads((folder / "config.json").read_text())
    writer = GGUFWriter(path, "qwen2")
    writer.add_name("tiny")
    writer.add_file_type(0)
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    _add_tokenizer(writer, folder)
    names = get_tensor_name_map(MODEL_ARCH.QWEN2, config["num_hidden_layers"])
    for name, tensor in load_file(folder / "model.safetensors").items():
        found = names.get_name(name, try_suffixes=(".weight", ".bias"))
        assert found is not None, name
        wanted = GGMLQuantizationType[kind.upper() if tensor.ndim > 1 else "F32"]
        writer.add_tensor(found, quantize(tensor.astype(np.float32), wanted), raw_dtype=wanted)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_tokenizer(writer: Any, folder: Path) -> None:
    content = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = dict(content["model"]["vocab"])
    vocabulary.update({token["content"]: token["id"] for token in content["added_tokens"]})
    tokens = sorted(vocabulary, key=vocabulary.__getitem__)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token in CONTROL else 1 for token in tokens])
    writer.add_token_merges([" ".join(pair) for pair in content["model"]["merges"]])
    writer.add_eos_token_id(vocabulary["<|im_end|>"])
    writer.add_eot_token_id(vocabulary["<|im_end|>"])
    writer.add_pad_token_id(vocabulary["<|endoftext|>"])
    writer.add_add_bos_token(False)
    writer.add_chat_template(CHATML)
