"""Names that need no table library: SocSci210's keys, and why a row cannot be used."""

CELL = ("study_id", "condition_num", "task_num")
"""The key of a cell: one outcome of one arm of one study."""

INTEGER_FIELDS = ("age", "household_size")
"""Persona fields that are whole numbers."""

NO_STIMULUS = "the stimulus is empty, or a part of it is"
NO_SCALE = "the scale cannot be read from the stimulus"
