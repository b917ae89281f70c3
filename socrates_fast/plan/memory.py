"""Peak of a card's memory by part, from formulas.

- **weights**: NF4 takes half a byte a weight and, its scales quantised in their turn, 8 bits for each block of 64 and 32
  bits for each 256 of those: 0.127 bits a weight (QLoRA, arXiv 2305.14314, section 3). Only the blocks' matrices are
  quantised; embedding, output matrix, norms and biases stay in 16 bits.
- **adapter**: rank * (in + out) a matrix (LoRA, arXiv 2106.09685), held in float32, with a float32 gradient.
- **optimiser**: AdamW's two moments, 8 bytes a trained parameter, or 2 in 8 bits (arXiv 2110.02861).
- **activations**: what the backward pass needs of each token and layer. Counted for a gated feed-forward with
  FlashAttention (no scores are kept) in the manner of Korthikanti et al. (arXiv 2205.05198): inputs of norms and of
  matrices, queries, keys, values and the feed-forward's inner vectors. With gradient checkpointing: one vector a token
  and layer (which Unsloth moves to the host's memory), and one layer in full.
- **logits**: a chunk of some tokens in float32 with its gradient, as fused losses keep it; for preference pairs, all.
- **working**: a matrix that NF4 is unpacked into.
- **context**: CUDA and its libraries, which torch's own count of its memory leaves out.
"""

from dataclasses import dataclass

from socrates_fast.plan.ranges import Range, fixed, total
from socrates_fast.plan.rows import Rows
from socrates_fast.plan.shapes import Shape
from socrates_fast.plan.speed import is_fused, sequences_per_row
from socrates_fast.recipe import Recipe

NF4_BITS = 4 + 8 / 64 + 32 / (64 * 256)
CONTEXT = Range(0.5 * 2**30, 1.2 * 2**30)
"""Bytes of the CUDA context and of cuBLAS' and bitsandbytes' workspaces; assumed."""
CHUNK = Range(512, 2048)
"""Tokens whose logits are there at once."""
FRAGMENTS = Range(1.0, 1.25)
"""What the allocator keeps besides what is asked of it, for what comes and goes."""


@dataclass(frozen=True)
class Memory:
    """Bytes at the peak, by part."""

    weights: Range
    adapter: Range
    optimizer: Range
    activations: Range
    logits: Range
    working: Range
    context: Range

    @property
    def peak(self) -> Range:
        """All parts."""
        return total(vars(self).values())

    @property
    def allocated(self) -> Range:
        """All that torch allocates: the context is not."""
        return total(value for name, value in vars(self).items() if name != "context")


def layer_values(shape: Shape, fused: bool, dropout: bool) -> float:
    """16-bit values that a layer keeps of one token for its backward pass.

    Two residuals and two normed inputs, queries and what attention gave, keys and values, and the feed-forward's gate and
    up vectors (their product is recomputed by fused kernels, else kept); a copy of each adapter's input, with a mask of
    half a value, where dropout makes one.
    """
    config = shape.config
    targets = shape.targets()
    hidden, inner = shape.hidden, int(config["intermediate_size"])
    queries = targets.get("q_proj", (hidden, hidden))[0]
    keys = targets.get("k_proj", (hidden, hidden))[0]
    kept: float = 4 * hidden + 2 * queries + 2 * keys + (2 if fused else 4) * inner
    if not fused:
        kept += 4 * hidden  # the norms' inputs in float32
    if dropout:
        kept += 1.5 * sum(shape_[1] for shape_ in targets.values())
    return kept


def activation_bytes(shape: Shape, recipe: Recipe, tokens: Range) -> Range:
    """Of one micro-batch of so many tokens, padding included."""
    fused = is_fused(recipe)
    full = 2 * layer_values(shape, fused, recipe.train.lora.dropout > 0)
    if not recipe.train.gradient_checkpointing:
        return tokens * FRAGMENTS * (full * (shape.layers + 1))  # and one layer's gradients
    offloaded = getattr(recipe.train, "backend", "unsloth") == "unsloth"
    between = 2.0 * shape.hidden * shape.layers
    return tokens * FRAGMENTS * (2 * full) + tokens * Range(0.0 if offloaded else between, between)


def batch_tokens(recipe: Recipe, rows: Rows) -> Range:
    """Tokens of the largest micro-batch."""
    longest = fixed(float(recipe.model.max_length)) if recipe.train.packing else rows.longest
    return longest * float(recipe.train.batch_size * sequences_per_row(recipe))


def memory_of(shape: Shape, recipe: Recipe, rows: Rows) -> Memory:
    """Peak memory of a training."""
    lora, tokens = recipe.train.lora, batch_tokens(recipe, rows)
    trained = shape.adapter(lora.r, lora.targets)
    wide = 4 if recipe.train.precision == "float32" else 2
    unpacked = 2.0 * max(rows_ * columns for rows_, columns in shape.targets().values())
    linear_bytes = NF4_BITS / 8 if recipe.model.load_in_4bit else wide
    chunk = Range(min(tokens.low, CHUNK.low), min(tokens.high, CHUNK.high))
    return Memory(
        weights=fixed(shape.linear * linear_bytes + (shape.parameters - shape.linear) * wide),
        adapter=fixed(trained * 8.0),
        optimizer=fixed(trained * (2.1 if recipe.train.optimizer == "adamw_8bit" else 8.0)),
        activations=activation_bytes(shape, recipe, tokens),
        logits=(chunk if sequences_per_row(recipe) == 1 else tokens) * (8.0 * shape.vocabulary) * FRAGMENTS,
        working=Range(unpacked, 2 * unpacked) if recipe.model.load_in_4bit else fixed(0.0),
        context=CONTEXT,
    )
