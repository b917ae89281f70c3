"""The errors a user can cause or must act on.

    SocratesError                 printed without a traceback, exit code 2
    ├── RecipeError               a recipe or an override is not understood
    ├── DataError                 a data file, a row, a split
    ├── ModelError                a base folder, an adapter, a GGUF, a tokenizer
    ├── ExportError               writing or quantising a GGUF
    │   └── ParityError           the exported file is not the model that was trained
    ├── ScoringError              a prompt that cannot be scored, a worker that died
    ├── TrainingError             training cannot start or go on
    │   └── StoppedElsewhere      another process of the training stopped; that one says why
    └── MissingDependency         an optional package is not installed

Anything else that escapes is our bug: it keeps its traceback and exits with 1.
"""


class SocratesError(Exception):
    """What is wrong, where, and what to do, in words for the person at the keyboard."""


class RecipeError(SocratesError):
    """A recipe, or an override of one, is not understood."""


class DataError(SocratesError):
    """A data file, a row or a split cannot be used."""


class ModelError(SocratesError):
    """A base folder, an adapter, a tokenizer or a GGUF cannot be used."""


class ExportError(SocratesError):
    """A GGUF cannot be written or quantised."""


class ParityError(ExportError):
    """The exported file does not compute what the trained model computes."""


class ScoringError(SocratesError):
    """A prompt cannot be scored, or the scoring worker died."""


class TrainingError(SocratesError):
    """Training cannot start or cannot go on."""


class StoppedElsewhere(TrainingError):
    """Another process of the same training stopped, and says why itself; the text may be empty."""


class MissingDependency(SocratesError):
    """An optional package is not installed."""
