"""Hugging Face's ``generate`` on the CPU, over the folder of safetensors that the GGUF was made of. A child (children.py)."""

import time
from collections.abc import Sequence

from socrates_bench.peers.runner import MAX_TOKENS, serve_runner


class TransformersPeer:
    """A loaded ``AutoModelForCausalLM``; a ``Runner``. Greedy, with its own KV cache, one row at a time."""

    def __init__(self, folder: str, dtype: str, threads: int) -> None:
        import torch
        from transformers import AutoModelForCausalLM

        torch.set_num_threads(threads)
        self._torch = torch
        self._model = AutoModelForCausalLM.from_pretrained(
            folder, dtype=getattr(torch, dtype), local_files_only=True
        ).eval()
        self.facts = {"dtype": dtype, "attention": self._model.config._attn_implementation}
        self._sizes, self._runs = (0, 0), 0

    def begin(self, n_prompt: int, n_gen: int) -> None:
        """Warm up with a prompt of that size and one token."""
        self._sizes = n_prompt, n_gen
        self._random(max(1, n_prompt), 1)

    def once(self) -> int:
        """Nanoseconds of a prompt and its first token, or of as many tokens after a prompt of one."""
        n_prompt, n_gen = self._sizes
        return self._random(max(1, n_prompt), max(1, n_gen))

    def _random(self, n_prompt: int, n_gen: int) -> int:
        self._runs += 1
        generator = self._torch.Generator().manual_seed(self._runs)
        ids = self._torch.randint(self._model.config.vocab_size, (1, n_prompt), generator=generator)
        started = time.perf_counter_ns()
        made = self._generate(ids.tolist()[0], n_gen, least=n_gen)
        assert len(made) == n_gen  # it stops at no token
        return time.perf_counter_ns() - started

    def _generate(self, ids: Sequence[int], most: int, least: int = 1) -> list[int]:
        prompt = self._torch.tensor([list(ids)])
        with self._torch.inference_mode():
            made = self._model.generate(
                prompt, attention_mask=self._torch.ones_like(prompt), max_new_tokens=most, min_new_tokens=least,
                do_sample=False, pad_token_id=0,
            )  # fmt: skip
        return [int(token) for token in made[0, len(ids) :]]

    def first(self, ids: Sequence[int]) -> int:
        """The first token after a prompt."""
        return self._generate(ids, 1)[0]

    def answer(self, ids: Sequence[int]) -> int:
        """Generate one row's answer."""
        return len(self._generate(ids, MAX_TOKENS))


if __name__ == "__main__":
    serve_runner(TransformersPeer)
