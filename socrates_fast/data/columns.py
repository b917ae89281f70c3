"""Names that need no table library: SocSci210's keys, and why a row cannot be used."""

CELL = ("study_id", "condition_num", "task_num")
"""The key of a cell: one outcome of one arm of one study."""

INTEGER_FIELDS = ("age", "household_size")
"""Persona fields that are whole numbers."""

KNOWN = (
    *CELL, "sample_id", "participant", "demographic", "stimuli", "response", "prompt", "reasoning",
    "low", "high", "values", "open", "truth", "rejected", "rejected_participant", "rejected_same_stimulus",
    "row", "probabilities", "answer_mass", "unexplored", "mean", "median", "fault", "truncated", "line", "file",
)  # fmt: skip
"""Columns of SocSci210, of prepared folders, of pairs and of predictions: what a file may hold without a word."""

NO_STIMULUS = "the stimulus is empty, or a part of it is"
NO_SCALE = "the scale cannot be read from the stimulus"

NO_ANSWER = "no answer"
NOT_AN_INTEGER = "the answer is not an integer"
OFF_SCALE = "the answer is off its scale"
MISSING_CODE = "the answer is a missing-value code"
OPEN_SCALE = "the scale is open or too wide to enumerate"
BAD_SCALE = "the declared scale allows less than two answers, or is not in ascending order"
SAME_ID = "an earlier row has the same study_id and sample_id"
SAME_ANSWER = "an earlier row has the same person, cell, stimulus and answer"
UNMAPPED = "the mapping does not name it"
NOT_CHOSEN = "not among the training rows that the recipe takes"
