"""Which Hugging Face models, adapters and prompts ``load_predictor`` and ``trained_prompt`` find."""

import json
from pathlib import Path

import pytest

from socrates_fast.errors import ModelError
from socrates_fast.infer import load_predictor, trained_prompt
from socrates_fast.infer.hf_model import HuggingFacePredictor
from socrates_fast.recipes import dump, load
from tests.infer.prompts import SCALES, make_prompts
from tests.infer.test_hf_model import copied
from tests.infer.test_scorer import deviation


def test_the_loader_takes_folders_and_adapters(
    folder: Path, adapter: Path, ours: HuggingFacePredictor
) -> None:
    prompts = make_prompts(SCALES["1-7"])[:2]
    with load_predictor(folder, context=512, threads=1, adapter=None, device="cpu") as loaded:
        assert deviation(loaded.predict(prompts), ours.predict(prompts)) == 0
    adapted = load_predictor(str(folder), adapter=adapter, device="cpu").predict(prompts)
    alone = load_predictor(adapter, device="cpu").predict(prompts)  # on the base that it names
    assert deviation(adapted, alone) == 0


def test_what_the_loader_refuses(folder: Path, adapter: Path, gguf_file: Path, tmp_path: Path) -> None:
    for model in (str(gguf_file), "uniform", "http://127.0.0.1:9/v1#m"):
        with pytest.raises(ModelError, match="an adapter goes with a Hugging Face model"):
            load_predictor(model, adapter=adapter)
    with pytest.raises(ModelError, match="an adapter itself"):
        load_predictor(adapter, adapter=adapter)
    elsewhere = copied(adapter, tmp_path / "adapter")
    config = json.loads((elsewhere / "adapter_config.json").read_text())
    (elsewhere / "adapter_config.json").write_text(
        json.dumps({**config, "base_model_name_or_path": "some/base"})
    )
    with pytest.raises(ModelError, match="its base model is 'some/base', which is no folder here"):
        load_predictor(elsewhere)


def test_a_pinned_revision_is_asked_of_the_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match="some/model at 0123abc cannot be had from the Hugging Face Hub"):
        load_predictor("some/model@0123abc")


def test_an_adapter_in_a_run_is_asked_as_the_run_says(folder: Path, adapter: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    inside = copied(adapter, run / "adapter")
    assert trained_prompt(inside).order == "persona_first"
    recipe = load("tiny", ["prompt.order=stimulus_first", "prompt.system=Answer."])
    (run / "recipe.yaml").write_text(dump(recipe))
    assert trained_prompt(inside) == recipe.prompt
    assert trained_prompt(folder, inside) == recipe.prompt
    assert trained_prompt(folder).order == "persona_first"
