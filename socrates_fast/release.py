"""What a run tells its model card: recipe, data, and the evaluation of the files once there is one."""

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from socrates_fast.runs import sha256_file

if TYPE_CHECKING:
    from socrates_export.release.facts import RunFacts
    from socrates_fast.pipeline import Pipeline


def run_facts(pipeline: "Pipeline") -> "RunFacts":
    """What is known of a run's training, and of the last evaluation if it is of the file that is there."""
    from socrates_export.release.facts import RunFacts

    facts = RunFacts(pipeline.recipe, _json(pipeline.data / "card.json"))
    model, metrics = pipeline.model_file, pipeline.run.folder / "evaluation" / "metrics.json"
    if not (model.is_file() and metrics.is_file()):
        return facts
    if not pipeline.run.is_complete("evaluate", pipeline.evaluation_key(model)):
        return facts
    return replace(facts, metrics=_json(metrics), evaluated=sha256_file(model))


def refresh_card(pipeline: "Pipeline") -> None:
    """Write the evaluation into the model card of a run's files, and record the card as the export's."""
    from socrates_export.release import rewrite_card

    recipe, folder = pipeline.recipe, pipeline.run.folder
    changed = rewrite_card(
        pipeline.model_file.parent, recipe.name, pipeline.base, folder / "adapter", recipe.prompt,
        run_facts(pipeline), recipe.export.merge_base,
    )  # fmt: skip
    if changed:
        entry = pipeline.run.manifest["export"]
        pipeline.run.close(
            "export", entry["key"], [folder / name for name in entry["files"]], entry["seconds"]
        )


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
