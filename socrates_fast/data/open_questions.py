"""Questions for a quantity that state no range: "an integer representing the hours saved"."""

import re

_OPEN = re.compile(
    r"Only return (?:an |a |the )?(?:positive |non-negative |single |whole |estimated )*"
    r"(?:integer|number)(?: number)? representing (?P<what>[^.;:()\n\d\x00]+?)\x00?[.\"']*\s*"
)
"""An instruction (as ``instructions`` makes it: ``\\x00`` for "nothing else") that is nothing but "Only return an integer representing WHAT, nothing else."."""

QUANTITY = re.compile(
    r"\b(?:seconds?|minutes?|hours?|days?|weeks?|months?|years?|dollars?|cents?|usd|euros?|pounds?|amount|number of|"
    r"count|times|people|persons|children|miles|kilometers|kilometres|calories|tokens|points donated)\b|[$€£]",
    re.IGNORECASE,
)
"""Words of a quantity."""

_CHOICE = re.compile(
    r"\b(?:between|from|scale|range|out of|up to|at most|at least|or|either|options?|choices?|choose|chosen|select\w*|"
    r"answers?|responses?|ratings?|rank\w*|scores?|levels?|degrees?|extent|likel\w+|probability|chances?|percent\w*|"
    r"share|proportion|fraction|categor\w+|brackets?|bands?|codes?|agree\w*|zero|one|two|three|four|five|six|seven|"
    r"eight|nine|ten|eleven|twelve|twenty|fifty|hundred|thousand)\b|%",
    re.IGNORECASE,
)
"""Words of a range or of options: with one of them an instruction is not clearly open."""


def is_open(instruction: str) -> bool:
    """Whether an instruction without digits asks for a quantity, with no word of a range or of a choice in it."""
    found = _OPEN.fullmatch(instruction)
    return bool(found and QUANTITY.search(found["what"]) and not _CHOICE.search(found["what"]))
