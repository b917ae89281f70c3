"""The verb ``verify``: is this GGUF, whoever made it, the model that was trained?"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from socrates_fast import recipes
from socrates_fast.actions import check_run
from socrates_fast.ask import Question
from socrates_fast.console import Console
from socrates_fast.data.prepared import make_prompt
from socrates_fast.errors import ModelError
from socrates_fast.examples import EXAMPLES
from socrates_fast.infer import trained_prompt
from socrates_fast.infer.header import read_header
from socrates_fast.prompt import Prompt
from socrates_fast.recipe import Export, Parity, PromptOptions
from socrates_fast.runs import environment, sha256_file

if TYPE_CHECKING:
    from socrates_export.proof.comparison import Judge
    from socrates_export.proof.parity import Trained


@dataclass(frozen=True)
class Origin:
    """What a file is said to be made from.

    Attributes:
        base: folder of the base model; None takes the run's.
        adapter: folder of the adapter; None takes the run's, or none.
        run: a trained run's folder; None for a base and an adapter alone.
    """

    base: Path | None
    adapter: Path | None
    run: Path | None


@dataclass(frozen=True)
class _Asked:
    """What a file is compared with, on which prompts, within which bounds."""

    trained: "Trained"
    prompts: list[Prompt]
    options: Parity
    judge: "Judge | None"


def verify(model: Path, origin: Origin, overrides: list[str], as_json: bool) -> bool:
    """Compare ``model`` with what it is said to be made from, print what was found, and tell whether it is that.

    Args:
        model: a GGUF.
        origin: what it should be.
        overrides: of ``export.*`` in the run's recipe, or in the defaults.
        as_json: print one JSON document instead of a table.

    Raises:
        ModelError: the file is not a whole GGUF; or base, adapter or run cannot be used.
        MissingDependency: torch, Transformers or PEFT is not there, and logits are to be compared.
    """
    from socrates_export.proof.parity import prove
    from socrates_export.proof.reference import check_installed

    kind = type_of(model)
    console = Console(quiet=as_json)
    with _asked(model, origin, overrides, console) as asked:
        if asked.options.logits:
            check_installed()
        proof = prove(asked.trained, {kind: model}, asked.prompts, asked.options, asked.judge, console.say)
    faults = proof.faults.get(model.name, [])
    facts = {"file": model.name, "bytes": model.stat().st_size, "sha256": sha256_file(model)}
    content = {**proof.content, "files": {kind: facts}, "environment": environment()}
    if as_json:
        document = {"model": str(model), "type": kind, "passed": not faults, "faults": faults, **content}
        print(json.dumps(_finite(document), allow_nan=False))
    else:
        _print(model, kind, content, faults)
    return not faults


def type_of(model: Path) -> str:
    """The type that a GGUF says it is of, by the name that a user types; ``type N`` if we do not write it.

    Raises:
        ModelError: the file is not a whole GGUF.
    """
    from socrates_export.write.types import FILE_TYPES

    number = read_header(model).file_type
    names = {facts.number: name for name, facts in FILE_TYPES.items()}
    return names.get(number, f"type {number}") if number is not None else "unknown type"


def built_in_prompts(options: PromptOptions) -> list[Prompt]:
    """Every built-in example put to every built-in person, without a reasoning before the answer."""
    options = options.model_copy(update={"reasoning": False})
    questions = [Question.built_in(number) for number in range(1, len(EXAMPLES) + 1)]
    return [
        make_prompt(person.demographic, question.scenario, question.scale, options)
        for question in questions
        for person in questions
    ]


@contextmanager
def _asked(model: Path, origin: Origin, overrides: list[str], console: Console) -> Iterator[_Asked]:
    """What to compare with; a run's folder is held meanwhile."""
    from socrates_export.proof.parity import Trained

    if origin.run is None:
        if origin.base is None:
            raise ModelError("name what the file should be: --base DIR [--adapter DIR], or --run RUN")
        options = recipes.load_section(Export, "export", overrides)
        trained = Trained(origin.base, origin.adapter, options.merge_base)
        yield _Asked(trained, built_in_prompts(trained_prompt(model)), options.parity, None)
        return
    from socrates_fast.pipeline import Pipeline

    check_run(origin.run)
    pipeline = Pipeline(recipes.load(str(origin.run / "recipe.yaml"), overrides), origin.run, console)
    with pipeline.locked(record=False):
        pipeline.check_trained()
        options = pipeline.recipe.export
        adapter = origin.adapter or (None if origin.base else origin.run / "adapter")
        trained = Trained(origin.base or pipeline.base, adapter, options.merge_base)
        yield _Asked(trained, pipeline.gate_prompts(), options.parity, pipeline.judge())


def _finite(value: Any) -> Any:
    """JSON has no NaN and no infinity: null in their place."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return None if isinstance(value, float) and not isfinite(value) else value


def _print(model: Path, kind: str, content: Mapping[str, Any], faults: list[str]) -> None:
    from rich import box
    from rich import print as show
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, title=f"{model.name} ({kind})", title_justify="left")
    for column in ("", "found", "bound"):
        table.add_column(column, overflow="fold")
    for row in table_rows(kind, content):
        table.add_row(*row)
    show(table)
    for fault in faults:
        print(f"- {fault}")
    if faults:
        print(f"{model.name} is not the model that was trained")
    elif isinstance(content["logits"], str):
        print(
            f"{model.name} holds the tensors and tokens of the model that was trained; no more was compared"
        )
    else:
        print(f"{model.name} is the model that was trained")


def table_rows(kind: str, content: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """What was compared, what was found, and what is allowed, of one file."""
    tensors, tokens = content["tensors"]["types"][kind], content["tokens"]
    if tensors["worst"]:
        moved = f"{tensors['worst_error']:.2g} of the length of {tensors['worst']}"
        yield f"{tensors['tensors']} tensors: most moved", moved, "by its type"
    if tensors["adapter"] is not None:
        yield "tensors: adapter is in them", f"{tensors['adapter']:.3f} times", "once"
    yield "tokens", tokens if isinstance(tokens, str) else f"{tokens['texts']} texts, equal", "equal"
    for part, figures in _FIGURES.items():
        if isinstance(content[part], str):
            yield part, content[part], "-"
            continue
        found = content[part]["types"].get(kind, {})
        for name, (what, bound) in figures.items():
            if found.get(name) is not None:
                limit = content["bounds"][kind].get(bound)
                yield f"{part}: {what}", f"{found[name]:.3g}", "-" if limit is None else f"{limit:g}"
    if not isinstance(content["metrics"], str):
        for name, figure in content["metrics"]["types"].get(kind, {}).items():
            yield f"metrics: {name}", f"{figure['value']:.4f} ({figure['difference']:+.4f})", "-"


_FIGURES = {
    "logits": {
        "nmse": ("NMSE", "nmse"),
        "kl": ("KL, nats", ""),
        "top1": ("same top token", ""),
        "adapter": ("adapter's effect", ""),
    },
    "answers": {
        "kl": ("KL, nats", "kl"),
        "kl_max": ("largest KL", ""),
        "wasserstein": ("Wasserstein", "wasserstein"),
        "wasserstein_max": ("largest Wasserstein", ""),
        "top1": ("same top answer", "top1"),
        "answer_mass": ("answer mass", ""),
        "answer_mass_original": ("original's mass", ""),
    },
}
"""Figures shown of each part of ``parity.json``: their words, and the bound that they keep."""
