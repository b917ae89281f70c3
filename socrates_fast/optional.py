"""One way to ask for an optional package."""

import importlib
from types import ModuleType

from socrates_fast.errors import MissingDependency


def need(module: str, feature: str, extra: str) -> ModuleType:
    """Import ``module``, which ``feature`` needs and the extra ``extra`` installs.

    Raises:
        MissingDependency: ``module`` is not installed; the message says how to install it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.split(".", maxsplit=1)[0]:
            raise  # something inside the package is broken: that is not "not installed"
        raise MissingDependency(
            f"{feature} needs {module}, which is not installed. "
            f'Install it with: pip install "socrates-fast[{extra}]"'
        ) from error
