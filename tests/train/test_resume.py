"""A training that was stopped, in whatever way, ends as one that was not: the same losses, the same bytes."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from socrates_fast.train.checkpoints import COMPLETE
from tests.train.launching import PLAIN, end, launch, said, sets, steps, train, wait_for

SETTINGS = (*PLAIN, "train.max_steps=12", "train.epochs=4", "train.batch_size=8", "train.lora.dropout=0.1")
"""Seven steps are an epoch, so that the order of the second one matters too."""


@pytest.fixture(scope="module")
def whole(cache: Path, micro_base: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A recipe, and the folder of its uninterrupted training."""
    folder = tmp_path_factory.mktemp("whole")
    recipe = folder / "micro.yaml"
    recipe.write_text(
        f"name: micro\n"
        f"data:\n  source: synthetic\n  synthetic: {{studies: 2, people: 30, tasks: 2}}\n"
        f"  split: {{validation: 0.2, test: 0.3}}\n"
        f"model: {{base: {micro_base}, max_length: 512}}\n"
        f"prompt: {{fields: [age, ideology]}}\n"
        f"train: {{learning_rate: 0.01, save_steps: 2, eval_steps: 3}}\n",
        encoding="utf-8",
    )
    code, text = train(cache, recipe, folder / "out", *SETTINGS)
    assert code == 0, text
    return recipe, folder / "out"


def _start(cache: Path, recipe: Path, out: Path, *more: str) -> subprocess.Popen[str]:
    return launch(cache, recipe.parent, "train", recipe, "--out", out, *sets((*SETTINGS, *more)))


def _ends_the_same(cache: Path, recipe: Path, out: Path, whole: Path) -> str:
    """Resume; what was printed."""
    code, text = train(cache, recipe, out, *SETTINGS)
    assert code == 0, text
    mine, theirs = steps(out), steps(whole)
    assert sorted(mine) == sorted(theirs) == list(range(1, 13))
    for step in mine:
        for name in ("loss", "grad_norm", "learning_rate", "tokens", "supervised"):
            assert mine[step][name] == theirs[step][name], (step, name)
    name = "adapter/adapter_model.safetensors"
    assert (out / name).read_bytes() == (whole / name).read_bytes()
    return text


@pytest.mark.long
def test_ctrl_c(cache: Path, whole: tuple[Path, Path], tmp_path: Path) -> None:
    recipe, uninterrupted = whole
    process = _start(cache, recipe, tmp_path / "out")
    wait_for(process, lambda: 5 in steps(tmp_path / "out"))
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=60) == 130
    assert said(recipe.parent, 1).count("the same command resumes") == 1
    assert "resuming from checkpoint-" in _ends_the_same(cache, recipe, tmp_path / "out", uninterrupted)


@pytest.mark.long
def test_kill_between_checkpoints(cache: Path, whole: tuple[Path, Path], tmp_path: Path) -> None:
    """The steps after the last checkpoint are done again, with the same losses."""
    recipe, uninterrupted = whole
    out = tmp_path / "out"
    process = _start(cache, recipe, out)
    wait_for(process, lambda: 9 in steps(out))
    end(process)
    before = steps(out)
    for step, line in before.items():
        assert line["loss"] == steps(uninterrupted)[step]["loss"]
    assert "resuming from checkpoint-8" in _ends_the_same(cache, recipe, out, uninterrupted)


@pytest.mark.long
def test_kill_while_the_files_of_a_checkpoint_are_written(
    cache: Path, whole: tuple[Path, Path], tmp_path: Path
) -> None:
    """The process is held as soon as a later checkpoint has a file, and killed if that checkpoint is not complete."""
    recipe, uninterrupted = whole
    out = tmp_path / "out"
    process = _start(cache, recipe, out)

    def half_written() -> Path | None:
        for folder in out.glob("checkpoints/checkpoint-*"):
            if (
                int(folder.name.split("-")[1]) > 2
                and any(folder.iterdir())
                and not (folder / COMPLETE).exists()
            ):
                return folder
        return None

    def held() -> bool:
        if not half_written():
            return False
        os.kill(process.pid, signal.SIGSTOP)
        if half_written():
            return True
        os.kill(process.pid, signal.SIGCONT)  # too late; the next checkpoint then
        return False

    wait_for(process, held, pause=0)
    half = half_written()
    end(process)
    assert (
        half is not None
        and (half.parent / f"checkpoint-{int(half.name.split('-')[1]) - 2}" / COMPLETE).is_file()
    )
    text = _ends_the_same(cache, recipe, out, uninterrupted)
    assert f"resuming from checkpoint-{int(half.name.split('-')[1]) - 2}" in text


@pytest.mark.long
def test_whatever_file_of_a_checkpoint_is_missing_or_cut_the_one_before_is_used(
    cache: Path, whole: tuple[Path, Path], tmp_path: Path
) -> None:
    """A checkpoint is closed last: without that, none of its files counts, however whole it looks."""
    recipe, uninterrupted = whole
    out = tmp_path / "out"
    process = _start(cache, recipe, out)
    wait_for(process, (out / "checkpoints/checkpoint-6" / COMPLETE).exists)
    end(process)
    newest = max(out.glob("checkpoints/checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    for path in newest.parent.glob("checkpoint-*"):
        if path.name not in ("checkpoint-4", "checkpoint-6"):
            shutil.rmtree(path)
    (out / "checkpoints/checkpoint-6" / COMPLETE).unlink()
    state = out / "checkpoints/checkpoint-6/trainer_state.json"
    state.write_text(state.read_text(encoding="utf-8")[:100], encoding="utf-8")
    assert "resuming from checkpoint-4" in _ends_the_same(cache, recipe, out, uninterrupted)


@pytest.mark.long
def test_preferences_go_on_where_they_were(cache: Path, whole: tuple[Path, Path], tmp_path: Path) -> None:
    """A checkpoint of DPO holds the reference as well, which must not be taken for the adapter."""
    recipe, before = whole
    dpo = ("train.objective=dpo", f"train.adapter={before}", "data.pairs=true", "train.backend=transformers",
           "train.precision=float32", "train.max_steps=8", "train.save_steps=2", "train.epochs=9")  # fmt: skip
    code, text = train(cache, recipe, tmp_path / "through", *dpo)
    assert code == 0, text
    out = tmp_path / "stopped"
    process = launch(cache, recipe.parent, "train", recipe, "--out", out, *sets(dpo))
    wait_for(process, lambda: 5 in steps(out))
    end(process)
    code, text = train(cache, recipe, out, *dpo)
    assert code == 0, text
    assert "resuming from checkpoint-" in text
    assert {step: line["loss"] for step, line in steps(out).items()} == {
        step: line["loss"] for step, line in steps(tmp_path / "through").items()
    }
    name = "adapter/adapter_model.safetensors"
    assert (out / name).read_bytes() == (tmp_path / "through" / name).read_bytes()
