"""The report on scales: every distinct instruction once, with its counts, and what differs where."""

import json
from pathlib import Path

import pytest

from socrates_fast.cli import main
from socrates_fast.data.scale_report import Report, report
from socrates_fast.data.scale_text import print_report
from tests.data.rows import SEVEN, frame, row

FIVE = "How? Only return an integer from 0 to 4, nothing else."
UNREAD = "How? Only return an integer from 1 to 5, or 9 if you do not know, nothing else."


@pytest.fixture
def found(tmp_path: Path) -> Report:
    rows = [
        row(sample_id=0), row(sample_id=1), row(sample_id=2, stimuli=f"Other words. {SEVEN}"),
        row(sample_id=3, condition_num=1, stimuli=FIVE), row(sample_id=4, condition_num=1, stimuli=SEVEN),
        row(sample_id=5, task_num=1, stimuli=UNREAD), row(sample_id=6, task_num=1, stimuli="No instruction."),
    ]  # fmt: skip
    frame(*rows).write_parquet(tmp_path / "rows.parquet")
    return report(tmp_path / "rows.parquet")


def test_every_instruction_once_the_unread_first(found: Report) -> None:
    assert (found.rows, found.cells, found.studies) == (7, 3, 1)
    assert sum(entry.rows for entry in found.entries) == 7
    assert [entry.scale is None for entry in found.entries] == [True, True, False, False]
    read = {(entry.scale.low, entry.scale.high): entry for entry in found.entries if entry.scale}
    assert read.keys() == {(1, 7), (0, 4)}
    assert (read[1, 7].rows, read[1, 7].cells, read[0, 4].rows) == (4, 2, 1)


def test_cells_with_two_scales_and_tasks_that_differ_between_conditions(found: Report) -> None:
    assert ("s", 1, 0) in {one.cell for one in found.mixed}
    assert [one for one in found.varying if one.differs == "answers"]


def test_it_is_printed_and_is_json(found: Report, capsys: pytest.CaptureFixture[str]) -> None:
    print_report(found)
    text = capsys.readouterr().out
    assert "2 of them not read (2 rows)" in text and "0-4" in text
    print_report(found, as_json=True)
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(found.as_json()))


def test_the_verb(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    frame(row()).write_ndjson(tmp_path / "rows.jsonl")
    monkeypatch.setattr(
        "sys.argv", ["socrates-fast", "data", "scales", str(tmp_path / "rows.jsonl"), "--json"]
    )
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 0
    assert json.loads(capsys.readouterr().out)["rows"] == 1
