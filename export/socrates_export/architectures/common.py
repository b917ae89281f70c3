"""What the supported architectures share: a decoder of attention and gated feed-forward with RMS norms."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from socrates_export.architectures.rope import rope_of, rope_reasons, scaling_keys
from socrates_export.architectures.spec import Config, Metadata, TensorSpec

Row = tuple[str, str, tuple[int, ...]]
"""A tensor of one block: its names in Hugging Face's block and in GGUF's, and its shape."""


def heads_kv(config: Config) -> int:
    """Number of key and value heads."""
    return int(config.get("num_key_value_heads") or config["num_attention_heads"])


def head_dim(config: Config) -> int:
    """Width of one head."""
    return int(config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"])


class Dense:
    """An ``Architecture`` whose parts are methods, each for a subclass to replace where its model differs."""

    name: str
    defaults: ClassVar[Mapping[str, Any]] = {}
    """What Transformers' config class takes for keys that ``config.json`` leaves out."""
    prefix = "model."
    """Before the names of all tensors but the output matrix's."""
    activation = "silu"
    ropes: ClassVar[frozenset[str]] = frozenset({"default", "linear", "yarn"})
    biases: ClassVar[Mapping[str, str]] = {}
    """What may have biases in llama.cpp too: GGUF name in a block, to the config's key that says whether it has."""

    def complete(self, config: Config) -> Config:
        """The config with Transformers' defaults for the keys that it leaves out."""
        return {**self.defaults, **config}

    def module_name(self, stored: str) -> str | None:
        """As it is stored."""
        return stored

    def refuse(self, config: Config) -> str | None:
        """Why llama.cpp could not compute what this config says, or None if it can."""
        return next(iter(self.reasons(config)), None)

    def reasons(self, config: Config) -> Iterator[str]:
        """Everything that ``refuse`` has to say."""
        if self.act(config) != self.activation:
            yield f"hidden_act is {self.act(config)!r}, not {self.activation!r}"
        if config["num_attention_heads"] % heads_kv(config):
            yield "num_attention_heads is not a multiple of num_key_value_heads"
        for key in ("num_experts", "num_local_experts", "n_routed_experts"):
            if config.get(key):
                yield f"it is a mixture of experts ({key} is {config[key]}), which is not supported"
        if config.get("use_bidirectional_attention") or config.get("is_causal") is False:
            yield "its attention is not causal"
        for key in ("attention_bias", "mlp_bias"):
            if config.get(key) and key not in self.biases.values():
                yield f"{key} is true, and llama.cpp's {self.name} has no such biases"
        yield from self.window_reasons(config)
        yield from rope_reasons(rope_of(config), self.ropes)

    def act(self, config: Config) -> str:
        """The activation function's name."""
        return str(config.get("hidden_act", "silu"))

    def window_reasons(self, config: Config) -> Iterator[str]:
        """Sliding windows: by default llama.cpp attends to everything."""
        if "sliding_attention" in (config.get("layer_types") or ()):
            yield f"some layers attend through a sliding window, and llama.cpp's {self.name} has none"

    def metadata(self, config: Config) -> Metadata:
        """The architecture's keys, each after its name."""
        return {f"{self.name}.{key}": value for key, value in self.keys(config).items()}

    def keys(self, config: Config) -> Metadata:
        """The architecture's keys, without its name."""
        rope = rope_of(config)
        return {
            **self.sizes(config),
            **({} if config.get("head_dim") is None else self.head_sizes(config)),
            "rope.freq_base": float(rope["rope_theta"]),
            **scaling_keys(rope),
        }

    def sizes(self, config: Config) -> Metadata:
        """The keys that every architecture has."""
        return {
            "block_count": config["num_hidden_layers"],
            "context_length": config["max_position_embeddings"],
            "embedding_length": config["hidden_size"],
            "feed_forward_length": config["intermediate_size"],
            "attention.head_count": config["num_attention_heads"],
            "attention.head_count_kv": heads_kv(config),
            "attention.layer_norm_rms_epsilon": float(config["rms_norm_eps"]),
        }

    def head_sizes(self, config: Config) -> Metadata:
        """Width of the heads, where it is not embedding_length / head_count."""
        return {"attention.key_length": head_dim(config), "attention.value_length": head_dim(config)}

    def tensors(self, config: Config) -> list[TensorSpec]:
        """Computed tensors, embedding, blocks, final norm, and the output matrix unless it is tied."""
        vocabulary, width = config["vocab_size"], config["hidden_size"]
        specs = self.computed(config)
        specs.append(
            TensorSpec(f"{self.prefix}embed_tokens.weight", "token_embd.weight", (vocabulary, width))
        )
        rows = [*self.attention(config), *self.feed_forward(config), *self.norms(config)]
        specs += [
            self.spec(config, f"{self.prefix}layers.{block}.{source}", f"blk.{block}.{target}", shape)
            for block in range(config["num_hidden_layers"])
            for source, target, shape in rows
        ]
        specs.append(TensorSpec(f"{self.prefix}norm.weight", "output_norm.weight", (width,)))
        if not config.get("tie_word_embeddings", False):
            specs.append(TensorSpec("lm_head.weight", "output.weight", (vocabulary, width)))
        return specs

    def computed(self, config: Config) -> list[TensorSpec]:
        """Tensors that are not in the checkpoint."""
        return []

    def spec(self, config: Config, source: str, target: str, shape: tuple[int, ...]) -> TensorSpec:
        """One tensor of a block."""
        return TensorSpec(source, target, shape)

    def attention(self, config: Config) -> list[Row]:
        """Matrices of a block's attention, and their biases where the config has them."""
        width, size = config["hidden_size"], head_dim(config)
        queries, keys = config["num_attention_heads"] * size, heads_kv(config) * size
        return self.with_biases(
            config,
            [
                ("self_attn.q_proj.weight", "attn_q.weight", (queries, width)),
                ("self_attn.k_proj.weight", "attn_k.weight", (keys, width)),
                ("self_attn.v_proj.weight", "attn_v.weight", (keys, width)),
                ("self_attn.o_proj.weight", "attn_output.weight", (width, queries)),
            ],
        )

    def feed_forward(self, config: Config) -> list[Row]:
        """Matrices of a block's feed-forward, and their biases where the config has them."""
        width, inner = config["hidden_size"], config["intermediate_size"]
        return self.with_biases(
            config,
            [
                ("mlp.gate_proj.weight", "ffn_gate.weight", (inner, width)),
                ("mlp.up_proj.weight", "ffn_up.weight", (inner, width)),
                ("mlp.down_proj.weight", "ffn_down.weight", (width, inner)),
            ],
        )

    def with_biases(self, config: Config, rows: list[Row]) -> list[Row]:
        """``rows``, each followed by its bias if it has one."""
        found: list[Row] = []
        for source, target, shape in rows:
            found.append((source, target, shape))
            key = self.biases.get(target.removesuffix(".weight"))
            if key is not None and config.get(key):
                found.append(
                    (source.replace(".weight", ".bias"), target.replace(".weight", ".bias"), shape[:1])
                )
        return found

    def norms(self, config: Config) -> list[Row]:
        """Norms of a block."""
        width = (config["hidden_size"],)
        return [
            ("input_layernorm.weight", "attn_norm.weight", width),
            ("post_attention_layernorm.weight", "ffn_norm.weight", width),
        ]

    def transform(self, spec: TensorSpec, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """The rows as they are."""
        return rows
