"""The built-in base model: a Qwen2 of about a million parameters, made from a seed on first use.

It exists so that the whole pipeline can be run for real with no download: an ordinary Hugging Face folder with
safetensors, a Qwen2-style byte-level BPE tokenizer and a ChatML template. Its short pre-training reads synthetic
studies that no recipe uses, so it knows the format and nothing of a recipe's studies.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from socrates_fast import __version__
from socrates_fast.optional import need
from socrates_fast.prompt import Prompt
from socrates_fast.recipe import PromptOptions, Synthetic
from socrates_fast.runs import atomic_folder, cache_folder, fingerprint

QWEN2_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""Qwen2's pre-tokenizer: words, single digits, punctuation, newlines."""

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] "
    "+ '<|im_end|>' + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")

VOCABULARY = 1536
SHAPE = {"hidden_size": 128, "num_hidden_layers": 4, "num_attention_heads": 4,
         "num_key_value_heads": 2, "intermediate_size": 512, "max_position_embeddings": 4096}  # fmt: skip
STEPS, BATCH, LEARNING_RATE, SEED = 250, 16, 3e-3, 20
PRETRAINING = Synthetic(studies=16, people=100, tasks=5, seed=1)
PROMPT = PromptOptions(system="", fields=("age", "gender", "education", "ideology"))
"""No system line and few fields: at this size every token of the prompt is felt."""


def folder() -> Path:
    """Where the built-in base lives: the user's cache folder, one folder for each version of its recipe."""
    facts = [
        SHAPE,
        VOCABULARY,
        STEPS,
        BATCH,
        LEARNING_RATE,
        SEED,
        PRETRAINING.model_dump(),
        PROMPT.model_dump(),
        CHATML,
    ]
    return cache_folder() / f"tiny-{fingerprint([__version__, *facts])[:12]}"


def ensure(progress: Callable[[int, int, float], None] | None = None) -> Path:
    """The built-in base's folder; made if it is not there yet (about a minute on two cores).

    Args:
        progress: called with step, number of steps, and loss in nats per token.

    Raises:
        MissingDependency: torch or transformers is not installed.
    """
    target = folder()
    if (target / "model.safetensors").is_file():
        return target
    need("torch", "making the built-in base model", "train")
    need("transformers", "making the built-in base model", "train")
    with atomic_folder(target) as partial:
        prompts, answers = _corpus()
        write_tokenizer(partial, [f"{p.system}\n{p.user}" for p in prompts], VOCABULARY)
        _pretrain(partial, prompts, answers, progress)
    return target


def _corpus() -> tuple[list[Prompt], list[int]]:
    """The pre-training prompts and answers."""
    from socrates_fast.data.prepared import prompts_of, to_prepared
    from socrates_fast.data.synthetic import OTHER_SUBJECTS, generate

    survey = generate(PRETRAINING, OTHER_SUBJECTS)
    prepared = to_prepared(survey.rows).rows
    return prompts_of(prepared, PROMPT), prepared["response"].to_list()


def write_tokenizer(target: Path, texts: list[str], vocabulary: int) -> None:
    """Train a Qwen2-style byte-level BPE on ``texts`` and write it as a Hugging Face tokenizer."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
    from tokenizers.trainers import BpeTrainer

    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN2_SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=vocabulary - len(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_special_tokens([AddedToken(text, special=True) for text in SPECIAL])
    tokenizer.save(str(target / "tokenizer.json"))
    settings: dict[str, Any] = {
        "tokenizer_class": "Qwen2TokenizerFast",
        "model_max_length": SHAPE["max_position_embeddings"],
        "bos_token": None,
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "add_bos_token": False,
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
        "chat_template": CHATML,
    }
    (target / "tokenizer_config.json").write_text(json.dumps(settings, indent=2), encoding="utf-8")


def _pretrain(
    target: Path,
    prompts: list[Prompt],
    answers: list[int],
    progress: Callable[[int, int, float], None] | None,
) -> None:
    """Train on whole sequences and save. The answer's loss counts as much as all of the prompt's."""
    import numpy as np
    import torch
    import transformers
    from transformers import Qwen2Config, Qwen2ForCausalLM

    from socrates_fast.tokenizer import FolderTokenizer

    tokenizer = FolderTokenizer(target)
    renderer = tokenizer.renderer()
    examples = [renderer.example(p, a) for p, a in zip(prompts, answers, strict=True)]
    end, pad = renderer.end_id, renderer.tokenize("<|endoftext|>", True)[0]
    torch.manual_seed(SEED)
    rng = np.random.default_rng(SEED)
    config = Qwen2Config(vocab_size=VOCABULARY, tie_word_embeddings=True, eos_token_id=end,
                         pad_token_id=pad, bos_token_id=None, initializer_range=0.05, **SHAPE)  # fmt: skip
    model = Qwen2ForCausalLM(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, STEPS, pct_start=0.1)
    for step in range(STEPS):
        chosen = [examples[i] for i in rng.integers(len(examples), size=BATCH)]
        length = max(len(e.input_ids) for e in chosen)
        ids = torch.tensor([e.input_ids + [pad] * (length - len(e.input_ids)) for e in chosen])
        supervised = torch.tensor(
            [e.completion_mask + [0] * (length - len(e.completion_mask)) for e in chosen]
        )
        # Padding is on the right and attention looks left: no mask is needed.
        logits = model(input_ids=ids).logits[:, :-1]
        nll = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
        answer = supervised[:, 1:].flatten().bool()
        prompt = ids[:, 1:].flatten().ne(pad) & ~answer
        loss: Any = nll[answer].mean() + nll[prompt].mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if progress:
            progress(step + 1, STEPS, float(nll[answer].mean().detach()))
    model.generation_config.eos_token_id = end
    model.generation_config.pad_token_id = pad
    transformers.utils.logging.disable_progress_bar()
    model.save_pretrained(target)
