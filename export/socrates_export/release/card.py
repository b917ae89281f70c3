"""The model card: ``README.md`` with the front matter that the Hub reads.

Its text is ``card.md.j2``; here are the facts that fill it. A figure stands in it only if ``parity.json``, an
evaluation's ``metrics.json``, the data's card or the recipe holds it.
"""

import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml

from socrates_export.release.chat import chat_text, same_as_chat, same_ids
from socrates_export.release.checksums import SUMS
from socrates_export.release.facts import ReleaseFacts
from socrates_export.release.metadata import HUB, TAGS, parameters_of
from socrates_export.release.modelfile import MODELFILE, MOST_CONTEXT, NO_TRUNCATION
from socrates_export.release.origin import CARD, Origin, origin_of
from socrates_export.source.files import read_json
from socrates_export.source.lora import CONFIG
from socrates_fast import __version__
from socrates_fast.data.scales import range_scale
from socrates_fast.prompt import Prompt, persona_text, user_text
from socrates_fast.recipe import TINY, PromptOptions, Recipe
from socrates_fast.tokenizer import FolderTokenizer

TEMPLATE = Path(__file__).with_name("card.md.j2")

PERSON = {
    "age": "34", "gender": "Female", "education": "High school graduate", "ideology": "Moderate",
    "party_id": "Lean Democrat", "location": "Ohio",
}  # fmt: skip
QUESTION = (
    "A city bans cars from its centre. How fair is that? Only return an integer from 1 to 7, where 1 means not fair "
    "at all and 7 means very fair, nothing else."
)
COLUMNS = {
    "type": "type", "bytes": "size", "nmse": "NMSE of the logits", "kl": "KL of the answers (nats)",
    "wasserstein": "Wasserstein of the answers",
    "top1": "same top answer",
}  # fmt: skip
"""What each column of ``parity_rows`` is called."""

UNDEFINED = "–"
FIGURES = (
    "wasserstein.stated", "wasserstein.truth", "ranked_probability", "mae", "correlation", "accuracy_median",
    "effects.correlation", "effects.sensitivity", "answer_mass",
)  # fmt: skip
"""Figures of ``metrics.json`` that the card shows."""


def card_text(facts: ReleaseFacts, tokenizer: FolderTokenizer) -> str:
    """The card's whole text, front matter and all."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
        autoescape=False,
    )  # fmt: skip
    environment.filters |= {"quote": shlex.quote, "fence": _fence, "python": repr}
    origin = origin_of(facts.base, facts.adapter, facts.run.recipe)
    context = {**_about(facts, origin), **_proof(facts), **_asking(facts, tokenizer)}
    body = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(context)
    head = yaml.safe_dump(front_matter_of(facts, origin), sort_keys=False, allow_unicode=True)
    return f"---\n{head}---\n{body}"


def front_matter_of(facts: ReleaseFacts, origin: Origin) -> dict[str, Any]:
    """What the Hub reads; facts that are not known have no key."""
    relation = "quantized" if facts.adapter is None else "finetune"
    known = {
        "base_model": origin.id,
        "base_model_relation": relation if origin.id else "",
        "library_name": "gguf",
        "license": origin.license,
        "license_name": origin.license_name,
        "license_link": origin.license_link,
        "pipeline_tag": "text-generation",
        "language": [] if facts.adapter else origin.languages,
        "tags": [*TAGS, *(["lora"] if facts.adapter else [])],
    }
    return {key: value for key, value in known.items() if value}


def _about(facts: ReleaseFacts, origin: Origin) -> dict[str, Any]:
    """What it is, of what it was made, and how."""
    from gguf import size_label

    total, recipe = parameters_of(facts.base), facts.run.recipe
    return {
        "name": facts.name,
        "origin": origin,
        "hub": HUB,
        "tiny": recipe is not None and recipe.model.base == TINY,
        "architecture": facts.base.architecture.name,
        "parameters": size_label(total, total, 0, 0),
        "longest": facts.base.config["max_position_embeddings"],
        "trained": facts.adapter is not None,
        "adapter": _adapter(facts.adapter),
        "merge_base": facts.merge_base,
        "license": _license(origin),
        "version": __version__,
        "recipe": recipe,
        "training_table": _training_table(recipe) if recipe else "",
        "recipe_text": _recipe_text(recipe) if recipe else "",
        "data": facts.run.data,
        "data_table": _data_table(facts.run.data),
        "fields": facts.options.fields,
    }


def _license(origin: Origin) -> str:
    more = [part for part in (origin.license_name, origin.license_link) if part]
    return f"`{origin.license}`" + (f" ({', '.join(more)})" if more else "")


def _training_table(recipe: Recipe) -> str:
    train = recipe.train
    length = f"{train.max_steps} optimiser steps" if train.max_steps else f"{train.epochs:g} epochs"
    rows = [
        ["loss on", "the answer and the token that ends it, nothing else"],
        ["base in training", "NF4, so QLoRA" if recipe.model.load_in_4bit else "not quantised"],
        ["layers with an adapter", ", ".join(train.lora.targets)],
        [
            "length",
            f"{length} of {train.batch_size * train.accumulation} rows" if train.max_steps else length,
        ],
        [
            "learning rate",
            f"{train.learning_rate:g}, {train.schedule}, warm-up {train.warmup:g} of the steps",
        ],
        ["longest row", f"{recipe.model.max_length} tokens"],
        ["seed", str(train.seed)],
    ]
    return _table(["", ""], rows)


def _data_table(data: Mapping[str, Any]) -> str:
    counts = ("rows", "people", "studies", "cells")
    splits = data.get("splits", {}).items()
    rows = [[side, *(str(count[name]) for name in counts)] for side, count in splits]
    return _table(["split", *counts], rows) if rows else ""


def _adapter(folder: Path | None) -> Mapping[str, Any]:
    return read_json(folder / CONFIG) if folder else {}


def _recipe_text(recipe: Recipe) -> str:
    """The recipe as YAML, with paths of the machine shortened to their last part."""
    content = recipe.model_dump(mode="json")
    for section, key in (("data", "path"), ("model", "base"), ("export", "imatrix")):
        value = content[section].get(key)
        is_hub_id = key == "base" and recipe.model.revision is not None
        if isinstance(value, str) and not is_hub_id:
            content[section][key] = Path(value).name
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def _proof(facts: ReleaseFacts) -> dict[str, Any]:
    """Files, parity and evaluation."""
    from socrates_export.proof.parity import parity_rows

    measured = facts.parity["files"]
    evaluated = [fact["file"] for fact in measured.values() if fact["sha256"] == facts.run.evaluated]
    rows = parity_rows(facts.parity)
    return {
        "files_table": _files_table(facts),
        "sums": SUMS,
        "tokens": facts.parity["tokens"],
        "parity_table": _table(list(COLUMNS.values()), [[row[key] for key in COLUMNS] for row in rows])
        if rows
        else "",
        "compared": {part: facts.parity[part] for part in ("logits", "answers", "metrics")},
        "changes_table": _changes_table(facts.parity["metrics"]),
        "metrics": facts.run.metrics,
        "metrics_table": _metrics_table(facts.run.metrics) if evaluated else "",
        "evaluated": evaluated[0] if evaluated else "",
    }


def _files_table(facts: ReleaseFacts) -> str:
    rows = [
        [f"[{fact['file']}]({quote(fact['file'])})", kind, _size(fact["bytes"]), f"`{fact['sha256']}`"]
        for kind, fact in ((kind, facts.parity["files"][kind]) for kind in facts.files)
    ]
    rows += [
        [
            f"[{file.name}]({quote(file.name)})",
            file.stem.rpartition("-")[2],
            _size(file.stat().st_size),
            f"in `{SUMS}`",
        ]
        for file in facts.others
    ]
    return _table(["file", "type", "size", "sha256"], rows)


def _changes_table(metrics: Mapping[str, Any] | str) -> str:
    """What each type of file changes about the evaluation's figures; "" if that was not computed."""
    if isinstance(metrics, str):
        return ""
    types = metrics["types"]
    rows = [
        [f"`{name}`", f"{metrics['original'][name]:.3g}", *(_change(types[kind].get(name)) for kind in types)]
        for name in FIGURES
        if name in metrics["original"]
    ]
    return _table(["figure", "original", *types], rows)


def _change(figure: Mapping[str, Any] | None) -> str:
    return f"{figure['difference']:+.2g}" if figure else UNDEFINED


def _metrics_table(metrics: Mapping[str, Any]) -> str:
    """The evaluation's figures, each beside the floor and the baselines'."""
    names = [name for name in FIGURES if name in metrics]
    columns = {"this model": metrics, "floor": metrics["floor"], **metrics["baselines"]}
    rows = [
        [f"`{name}`", *(_figure(column[name]) if name in column else "" for column in columns.values())]
        for name in names
    ]
    return _table(["figure", *columns], rows)


def _table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; a bar or a line's end in a cell is kept from ending it."""
    cells = [[str(cell).replace("|", "\\|").replace("\n", " ") for cell in row] for row in (headers, *rows)]
    lines = [f"| {' | '.join(row)} |" for row in cells]
    return "\n".join([lines[0], "|" + "---|" * len(headers), *lines[1:]])


def _asking(facts: ReleaseFacts, tokenizer: FolderTokenizer) -> dict[str, Any]:
    """How to ask it: the prompt as text, and the settings that sample from its own distribution."""
    chat = chat_text(tokenizer)
    prompt = example(facts.options)
    text = chat.prompt(prompt.system, prompt.user)
    context = min(int(facts.base.config["max_position_embeddings"]), MOST_CONTEXT)
    request = {"prompt": text, "n_predict": 8, "n_probs": 20, **NO_TRUNCATION}
    return {
        "main": facts.files[facts.main].name,
        "modelfile": MODELFILE,
        "system": facts.options.system,
        "known_prompt": facts.prompt is not None,
        "format": chat.prompt(facts.options.system and "{system line}", "{persona and question}")
        + "{answer}",
        "end": chat.ends[0],
        "bos": chat.bos,
        "prompt": text,
        "request": json.dumps(request, indent=1, ensure_ascii=False),
        "user": prompt.user,
        "context": context,
        "chat": same_as_chat(tokenizer, prompt),
        "ids": same_ids(tokenizer, prompt),
        "question": QUESTION,
        "demographics": "; ".join(
            f"{name.replace('_', ' ').title()}: {PERSON[name]}" for name in shown(facts.options)
        ),
    }


def shown(options: PromptOptions) -> list[str]:
    """The fields of the example's person that this model is told."""
    return [name for name in options.fields if name in PERSON]


def example(options: PromptOptions) -> Prompt:
    """The prompt that the card shows: a made-up person and question."""
    persona = persona_text({name: PERSON[name] for name in shown(options)}, options.fields)
    return Prompt(options.system, user_text(persona, QUESTION, options.order), range_scale(1, 7))


def _size(count: int) -> str:
    """Bytes for people, in powers of ten as file managers and the Hub show them."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6)):
        if count >= factor:
            return f"{count / factor:.2f} {unit}"
    return f"{count / 1e3:.1f} kB"


def _figure(figure: Mapping[str, Any]) -> str:
    if figure["value"] is None:  # a constant prediction has no correlation
        return UNDEFINED
    value = f"{figure['value']:.3g}"
    return f"{value} ({figure['low']:.3g} to {figure['high']:.3g})" if "low" in figure else value


def _fence(text: str, language: str = "") -> str:
    """A fenced block that shows ``text``, whatever backticks it holds."""
    marks = "```"
    while marks in text:
        marks += "`"
    return f"{marks}{language}\n{text.removesuffix(chr(10))}\n{marks}"


__all__ = ["CARD", "card_text", "example", "front_matter_of"]
