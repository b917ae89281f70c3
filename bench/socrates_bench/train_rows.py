"""The rows of ``bench train``: the people and tasks of ``score_work``, each with an answer drawn by seed."""

import numpy as np
import polars as pl

from socrates_bench.score_work import TASKS, people, stimuli
from socrates_fast.data.prepared import to_prepared
from socrates_fast.data.schema import SOCSCI210

SEED = 210


def rows_of(count: int) -> pl.DataFrame:
    """``count`` prepared rows; the first ones are the same for every count."""
    asked = people(-(-count // len(TASKS)))
    numbers = [(person, task) for person in range(len(asked)) for task in range(len(TASKS))][:count]
    columns = {
        "sample_id": range(1, count + 1),
        "participant": [person for person, _ in numbers],
        "demographic": [asked[person] for person, _ in numbers],
        "stimuli": [stimuli()[task][0] for _, task in numbers],
        "response": [_answer(person, task) for person, task in numbers],
        "condition_num": [1] * count,
        "task_num": [task for _, task in numbers],
        "prompt": [""] * count,
        "reasoning": [""] * count,
        "study_id": ["bench"] * count,
    }
    return to_prepared(pl.DataFrame(columns, schema=SOCSCI210)).rows


def _answer(person: int, task: int) -> int:
    values = stimuli()[task][1].values or ()
    return int(np.random.default_rng([SEED, person, task]).choice(values))
