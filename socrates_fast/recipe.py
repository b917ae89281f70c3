"""Every option, declared once: its YAML key, its type, its unit, its default and what it does.

``docs/recipe.md``, the flags ``--set a.b=c`` and the checks all come from the models below.
"""

from difflib import get_close_matches
from pathlib import Path
from string import Formatter
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from socrates_fast.bounds import DEFAULTS as BUILT_IN

TINY = "tiny"
"""Name of the built-in base model, made on first use and needing no download."""

SYSTEM = (
    "You are simulating a survey respondent. Answer exactly as instructed, following the specified "
    "response format without additional commentary."
)
"""The published system line."""

PERSONA_FIELDS = (
    "age", "gender", "education", "employment", "marital_status", "ethnicity", "housing_ownership",
    "housing_type", "location", "metro_status", "income", "internet_access", "household_size", "party_id",
    "ideology", "phone_service",
)  # fmt: skip
"""SocSci210's 16 demographic fields, in the order in which the published prompt lists them."""

Order = Literal["persona_first", "stimulus_first"]
"""``persona_first`` as published; ``stimulus_first`` lets the people of one cell share most of the prompt."""


Quantisation = Literal[
    "f32", "f16", "bf16", "q8_0", "q6_k", "q5_k_m", "q5_k_s", "q4_k_m", "q4_k_s", "q4_0", "iq4_xs", "iq4_nl", "q3_k_m",
    "q2_k",
]  # fmt: skip
"""Types of GGUF that can be written."""

MergeBase = Literal["original", "nf4"]
"""Weights that an adapter is merged into."""


class Section(BaseModel):
    """A part of a recipe: read-only, and closed to keys it does not know."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, protected_namespaces=()
    )


class Synthetic(Section):
    """A made-up survey whose true answer distributions are known."""

    studies: int = Field(6, ge=1)
    """Number of studies."""
    people: int = Field(120, ge=2)
    """Respondents per study."""
    tasks: int = Field(3, ge=1, le=5)
    """Tasks (outcomes) that every respondent answers."""
    seed: int = 11
    """Seed of everything: study texts, arm effects, people, answers."""


class PersonaColumn(Section):
    """Where one persona field comes from."""

    column: str
    """Column of the file."""
    recode: dict[str, str | None] = {}
    """Cell text to persona text; null leaves the field out. A text that is not listed stays as it is."""


class Answers(Section):
    """How the answer cells are read."""

    column: str
    """Column of the answer; ``{n}`` stands for the number of the repetition."""
    low: int
    """Smallest allowed answer, after recoding."""
    high: int
    """Largest allowed answer, after recoding."""
    recode: dict[int, int] = {}
    """Code in the file to answer, where they differ. If given, a code that is not listed is off the scale."""
    missing: tuple[str, ...] = ("",)
    """Cell texts that mean "no answer"; such rows are counted and left out."""

    @model_validator(mode="after")
    def _scale_has_room(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low ({self.low}) must be below high ({self.high})")
        return self


class Table(Section):
    """How a wide table (one line a person) is read."""

    study: str
    """Name that the study gets."""
    label_rows: int = Field(0, ge=0)
    """Lines below the header that hold labels, not people (Qualtrics: 2)."""
    encoding: str = "utf-8-sig"
    """Text encoding of the file."""
    participant: str | None = None
    """Column that identifies a person; without it a person is a line."""
    persona: dict[str, PersonaColumn]
    """Persona field to its column."""
    repetitions: int = Field(1, ge=1)
    """Each line holds questions 1..n; ``{n}`` in a column name stands for the number."""
    variables: dict[str, str] = {}
    """Name in the stimulus template to the column that fills it; ``{n}`` allowed in the column."""
    lists: dict[str, tuple[str, ...]] = {}
    """Name in the stimulus template to the texts that fill it, one for each repetition."""
    stimulus: str
    """Template of the stimulus; ``{name}`` is filled from ``variables`` and ``lists``."""
    condition: tuple[str, ...] = ()
    """Variables whose combination makes the condition."""
    answers: Answers
    """The answers."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        columns = [self.answers.column, *self.variables.values()]
        for column in columns:
            if set(_placeholders(column)) - {"n"}:
                raise ValueError(f"column {column!r}: only {{n}} can stand in a column's name")
        if self.repetitions > 1 and "n" not in _placeholders(self.answers.column):
            raise ValueError(
                f"answers.column is {self.answers.column!r} for all {self.repetitions} repetitions; "
                f"put {{n}} in it"
            )
        names = [*self.variables, *self.lists, "n"]
        if len(names) != len(set(names)):
            raise ValueError("a name stands twice in variables and lists, or is n, which is the number")
        for name in _placeholders(self.stimulus):
            if name not in names:
                raise ValueError(f"stimulus: {{{name}}} is in neither variables nor lists")
        for name, texts in self.lists.items():
            if len(texts) != self.repetitions:
                raise ValueError(f"lists.{name} has {len(texts)} texts for {self.repetitions} repetitions")
        unknown = [name for name in self.condition if name not in self.variables]
        if unknown:
            raise ValueError(f"condition names {', '.join(unknown)}, which variables does not define")
        return self


def _placeholders(template: str) -> list[str]:
    """Names in braces of a template; a template that Python cannot fill is a ValueError."""
    parts = Formatter().parse(template)
    return [name for _, name, _, _ in parts if name is not None]


class Split(Section):
    """Which rows train, which validate, which test. Whole people, so that no one is on two sides."""

    validation: float = Field(0.05, ge=0, lt=1)
    """Share of people whose answers steer training."""
    test: float = Field(0.2, gt=0, lt=1)
    """Share of people whose answers are kept for the evaluation."""
    seed: int = 7
    """Seed of the split; a person's side depends on nothing but this seed and who it is."""

    @model_validator(mode="after")
    def _room_for_training(self) -> Self:
        if self.validation + self.test >= 1:
            raise ValueError("validation + test must leave people to train on (be below 1)")
        return self


class Data(Section):
    """Where the answers come from and what becomes of them."""

    source: Literal["synthetic", "files", "table"] = "files"
    """``synthetic``: made up; ``files``: parquet, JSONL or CSV in SocSci210's columns; ``table``: one line a person."""
    path: Path | None = None
    """File or folder of the source, relative to the folder where the command is run."""
    synthetic: Synthetic = Synthetic()
    """The made-up survey."""
    table: Table | None = None
    """How the table is read."""
    off_scale: Literal["drop", "refuse"] = "drop"
    """What becomes of an answer outside its scale, or of a question whose scale cannot be read."""
    max_train_rows: int | None = Field(None, ge=1)
    """Most training rows (chosen by hash, so that the choice is stable); null takes all."""
    split: Split = Split()
    """The split."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.source == "table" and self.table is None:
            raise ValueError("source is table, but data.table is missing")
        if self.source != "synthetic" and self.path is None:
            raise ValueError(f"source is {self.source}, but data.path is missing")
        return self


class PromptOptions(Section):
    """What the model is shown."""

    system: str = SYSTEM
    """System line; "" for none."""
    order: Order = "persona_first"
    """Persona first (as published), or stimulus first (shares far more when scoring)."""
    fields: tuple[str, ...] = PERSONA_FIELDS
    """Persona fields shown, in this order."""


class Model(Section):
    """The base model."""

    base: str = TINY
    """``tiny`` (built in), a folder, or a Hugging Face id."""
    revision: str | None = None
    """Commit of the Hugging Face id; needed for an id, so that a run can be repeated."""
    max_length: int = Field(1024, ge=16)
    """Longest sequence, in tokens; a longer training row is an error, never cut."""
    load_in_4bit: bool = True
    """Quantise the base to NF4 for training (QLoRA)."""


class Lora(Section):
    """The adapter."""

    r: int = Field(16, ge=1)
    """Rank."""
    alpha: int = Field(32, ge=1)
    """Scale is alpha/r, or alpha/sqrt(r) with ``rslora``."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout of the adapter's input; anything but 0 leaves Unsloth's fused path."""
    rslora: bool = False
    """Rank-stabilised scale."""
    targets: tuple[str, ...] = (
        "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj",
    )  # fmt: skip
    """Names of the linear layers that get an adapter."""


class Train(Section):
    """Training."""

    epochs: float = Field(1.0, gt=0)
    """Passes over the training rows."""
    max_steps: int | None = Field(None, ge=1)
    """Optimiser steps; null lets ``epochs`` decide."""
    batch_size: int = Field(8, ge=1)
    """Rows per device and forward pass."""
    accumulation: int = Field(1, ge=1)
    """Forward passes per optimiser step."""
    learning_rate: float = Field(1e-4, gt=0)
    """Peak learning rate."""
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """Learning-rate schedule after warm-up."""
    warmup: float = Field(0.05, ge=0, lt=1)
    """Share of the steps that warm up."""
    weight_decay: float = Field(0.01, ge=0)
    """AdamW's weight decay."""
    max_grad_norm: float = Field(1.0, gt=0)
    """Gradients are clipped to this norm."""
    optimizer: Literal["adamw_torch", "adamw_8bit"] = "adamw_torch"
    """AdamW in full precision or with 8-bit states (GPU)."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Compute type; ``auto``: bfloat16 where the device has it, else float16 on a GPU and float32 on a CPU."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, about a third slower."""
    packing: bool = False
    """Several rows per sequence (GPU with FlashAttention only; Unsloth switches it off on a CPU)."""
    group_by_length: bool = True
    """Batches of rows of like length, so that little is padding."""
    eval_steps: int = Field(50, ge=1)
    """Optimiser steps between validation losses."""
    save_steps: int = Field(50, ge=1)
    """Optimiser steps between checkpoints."""
    seed: int = 3407
    """Seed of adapter, order and dropout."""
    lora: Lora = Lora()
    """The adapter."""


class Bounds(Section):
    """How far a file of one type may be from the model that was trained; null records without judging."""

    nmse: float | None = Field(None, gt=0)
    """Most normalised mean squared error of the logits: mean((file - original)^2) / mean(original^2)."""
    kl: float | None = Field(None, gt=0)
    """Most KL(original || file) of the answer distributions, in nats, mean over prompts."""
    wasserstein: float | None = Field(None, gt=0)
    """Most Wasserstein-1 distance of the answer distributions, as a share of the scale's range, mean over prompts."""
    top1: float | None = Field(None, ge=0, le=1)
    """Least share of prompts with the same most probable answer."""


class Parity(Section):
    """The gate: what an exported file is compared on, and the bounds that it must keep."""

    logits: bool = True
    """Compare logits and answers with the original weights and the adapter in float32 (needs the train extra)."""
    prompts: int = Field(4, ge=1)
    """Validation prompts whose logits are compared, each at up to 64 positions."""
    answers: int = Field(64, ge=0)
    """Validation prompts whose answer distributions are compared; the original computes each once, in float32."""
    bounds: dict[Quantisation, Bounds] = Field({}, validate_default=True)
    """What differs from the built-in bounds (see Exporting), by type: ``{q8_0: {kl: 0.01}}``."""

    @field_validator("bounds", mode="before")
    @classmethod
    def _over_the_built_in_ones(cls, given: object) -> object:
        if not isinstance(given, dict):
            return given
        return {
            kind: {**BUILT_IN.get(kind, {}), **own} if isinstance(own, dict) else own
            for kind, own in {**BUILT_IN, **given}.items()
        }


class Export(Section):
    """The files that are written."""

    quantisations: tuple[Quantisation, ...] = Field(("f16", "q8_0", "q4_k_m"), min_length=1)
    """Types of GGUF to write."""
    merge_base: MergeBase = "original"
    """What the adapter is added to: the original weights, or the nf4 weights that QLoRA's training saw."""
    imatrix: Literal["auto"] | Path | None = None
    """Importance matrix for types of few bits: auto collects one on training prompts, or a GGUF file."""
    calibration: int = Field(64, ge=1)
    """Training prompts that imatrix auto runs."""
    lora: bool = False
    """Also write the adapter itself as a GGUF, to be applied to a GGUF of the base."""
    parity: Parity = Parity()
    """The gate."""


class Evaluate(Section):
    """The evaluation."""

    quantisation: Quantisation = "q8_0"
    """Which of the exported files is evaluated."""
    base: bool = True
    """Evaluate the base model as well, exported in the same way."""
    limit: int | None = Field(None, ge=1)
    """Most test rows (chosen by hash); null takes all."""
    context: int | None = Field(None, ge=256)
    """llama.cpp's context, in tokens, shared by the prompts that are scored together; null for 4096 at most."""
    batch: int | None = Field(None, ge=64)
    """Most tokens per llama.cpp call; null for 512, or on a GPU what a short probe finds fastest."""
    threads: int | None = Field(None, ge=1)
    """CPU threads; null for what a short probe finds fastest."""
    gpu_layers: int | None = Field(None, ge=-1)
    """Layers on the GPU, where llama.cpp was built for one; -1 for all, null for as many as fit."""
    deterministic: bool = False
    """A row's figures do not depend, to the last bit, on what else is scored; slower."""


class Recipe(Section):
    """Everything that a run does."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """Name of the run and of its files."""
    data: Data
    """Where the answers come from."""
    prompt: PromptOptions = PromptOptions()
    """What the model is shown."""
    model: Model = Model()
    """The base model."""
    train: Train = Train()
    """Training."""
    export: Export = Export()
    """The files that are written."""
    evaluate: Evaluate = Evaluate()
    """The evaluation."""

    @model_validator(mode="after")
    def _persona_fields_exist(self) -> Self:
        mapped = tuple(self.data.table.persona) if self.data.table else ()
        for name in self.prompt.fields:
            if name not in {*PERSONA_FIELDS, *mapped}:
                near = get_close_matches(name, [*PERSONA_FIELDS, *mapped], n=1)
                hint = f" (did you mean {near[0]}?)" if near else ""
                raise ValueError(f"prompt.fields: the data has no field {name}{hint}")
        for name in mapped:
            if name not in {*PERSONA_FIELDS, *self.prompt.fields}:
                raise ValueError(f"data.table.persona.{name} is never shown; add it to prompt.fields")
        return self

    @model_validator(mode="after")
    def _evaluated_file_is_written(self) -> Self:
        if self.evaluate.quantisation not in self.export.quantisations:
            raise ValueError(
                f"evaluate.quantisation is {self.evaluate.quantisation}, "
                f"which export.quantisations does not list"
            )
        return self
