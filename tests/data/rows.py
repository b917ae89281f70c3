"""Rows in SocSci210's columns, made for one test."""

from typing import Any

import polars as pl

from socrates_fast.data.schema import SOCSCI210

SEVEN = "How much? Only return an integer from 1 to 7, nothing else."
HOURS = "Only return an integer representing the hours saved, nothing else."


def row(**given: Any) -> dict[str, Any]:
    """One row: study s, condition 0, task 0, person 0, a seven-point question answered with 4, unless ``given``."""
    return {
        "sample_id": 0, "participant": 0, "demographic": {"age": 30}, "stimuli": SEVEN, "response": 4,
        "condition_num": 0, "task_num": 0, "prompt": "p", "reasoning": "because", "study_id": "s",
    } | given  # fmt: skip


def frame(*rows: dict[str, Any]) -> pl.DataFrame:
    """The rows as a frame; ``sample_id`` counts them where it is not given (a row says so with -1)."""
    numbered = [{**one, "sample_id": number if one["sample_id"] == -1 else one["sample_id"]}
                for number, one in enumerate(rows)]  # fmt: skip
    return pl.DataFrame(numbered, schema=SOCSCI210)


def many(people: int, tasks: int = 2, study: str = "s", **given: Any) -> list[dict[str, Any]]:
    """Every person answers every task, in one of two conditions; no two rows are alike."""
    return [
        row(
            study_id=study, sample_id=person * tasks + task, participant=person, condition_num=person % 2,
            task_num=task, response=1 + (person + task) % 7,
            stimuli=f"Task {task}, arm {person % 2}. {SEVEN}", **given,
        )
        for person in range(people)
        for task in range(tasks)
    ]  # fmt: skip
