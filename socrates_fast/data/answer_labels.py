"""Labelled numbers in an answer instruction: "1 for Yes", "7 means very likely", "4 = “good”", "5 (always)".

The texts come as ``instructions`` makes them: straight quotes, single spaces, plain hyphens, ``BREAK`` in the place of
"nothing else".
"""

import re
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

BREAK = "\x00"
"""Stands where "nothing else" stood: no label reaches over it."""

LONGEST = 10**15
"""Larger numbers are no answers."""


def number(name: str) -> str:
    """Pattern of an integer, with a sign, a currency and thousands separators if need be, as group ``name``."""
    return (
        rf"(?<![\w.,/:$€£])(?P<{name}>(?:(?<![\w)])[-+])?[$€£]?-?(?:\d{{1,3}}(?:,\d{{3}})+|\d+))"
        r"(?![\w+]|[./:,]\d|-[A-Za-z]|\s(?:thousand|million|billion|hundred|dozen|bn|k)\b)"
    )


def as_integer(text: str) -> int | None:
    """The integer that ``number`` found; None if it is too large."""
    if len(text) > 30:
        return None
    value = int(text) if text.isdigit() else int(_ORNAMENTS.sub("", text))
    return value if abs(value) <= LONGEST else None


_ORNAMENTS = re.compile(r"[$€£,+]")


class Clause(NamedTuple):
    """A labelled number.

    Attributes:
        value: the number; ``LONGEST + 1`` for any that is too large.
        says: what ties the label to it ("for", "means", "="; "(" for a label in parentheses).
        label: its label.
        plain: whether the label stands without quotes or parentheses, so that it ends where it seems to.
        start: where the number begins.
        stop: where its label ends.
        gap: what stands between the label and the next number, or the end.
        link: words between the label before and this number ("or", "up to"), lower case.
    """

    value: int
    says: str
    label: str
    plain: bool
    start: int
    stop: int
    gap: str
    link: str = ""


_SAYS = (
    r"(?P<says>\s?(?:=|->|→|:(?=[\s\"']))\s?"
    r"|\s(?:for|if|when|means?|meaning|is|being|indicat(?:es|ing)|represent(?:s|ing)|correspond(?:s|ing) to|stands for"
    r"|standing for|denot(?:es|ing)|refers to|signif(?:ies|ying)|equals|labell?ed(?: as)?|to(?=\s[a-z]))\s"
    r"|\s-\s(?=[A-Za-z\"'])|\s?\((?=[^()]*[^\W\d_]|[^()]*[$€£%]))"
)
_MARK = re.compile(number("value") + _SAYS)
_BEGINS = frozenset((
    "where", "and", "or", "with", "using", "either", "number", "integer", "value", "option", "code", "return", "enter",
    "to", "through", "scale", "that", "which", "then", "finally", "choose", "select", "rating", "as", "from", "between",
))  # fmt: skip
_SEPARATORS = frozenset(",;:.!?([\"'&" + BREAK)
"""Words and signs after which a labelled number may stand."""
_SPACES = " ,;.:" + BREAK
_LINK = re.compile(
    r"\b(?:(?:and|or|then|finally|where|with) |& )?"
    r"(?:(?:up )?to |through |(?:the )?(?:option|number|integer|code) |where |with )?$",
    re.IGNORECASE,
)
"""Words that tie a labelled number to the one before."""
_SO_ON = re.compile(r"(?:,? and so on|,? etc)$")
_CLOSES = r"(?=\s*(?:$|[,.;:)\]\x00\"'&]|\(|(?:and|or|to|up|through|nothing|where|while|with|then)\b|-?\d))"
_QUOTE = {quote: re.compile(rf"(?<=\S){quote}{_CLOSES}") for quote in "\"'"}
_OPENS = {'"': re.compile('"'), "'": re.compile(r"[\s(]'")}
_PARENTHESIS = re.compile(r"(?:[^()]|\([^()]*\))*\)")
_ALTERNATIVE = re.compile(r"[\s,]*(?:and|or) [\"']")
_BOUNDS = re.compile(r"[()\x00]")
_SENTENCE = re.compile(
    r"(?<!\b[A-Za-z])(?<!\bvs)(?<!\bDr)(?<!\bMr)(?<!\bMs)(?<!\bMrs)(?<!\bSt)[.?!](?=[\"')\]]*(?:$|\s|\x00))"
)
_ADVICE = re.compile(
    r"[,;-]\s*(?:and |but )?(?:please|do not|don't|no other|no explanation|with no|without|only|just)\b",
    re.IGNORECASE,
)


def clauses(text: str, start: int = 0, ends: re.Pattern[str] = _SENTENCE) -> list[Clause]:
    """The labelled numbers of ``text`` from ``start`` on, in their order.

    Args:
        text: an instruction, or what stands before one.
        start: where to begin.
        ends: what ends a plain label after which no other follows.
    """
    marks = _marks(text, start)
    found: list[Clause] = []
    link = ""
    for place, (mark, enclosed) in enumerate(marks):
        following = marks[place + 1][0].start() if place + 1 < len(marks) else None
        clause, link_after = _clause(text, mark, enclosed, following, ends)
        found.append(clause._replace(link=link))
        link = link_after
    return found


def _marks(text: str, start: int) -> list[tuple[re.Match[str], int | None]]:
    """Numbers that a label follows, each with the end of its label if that is quoted or in parentheses."""
    found: list[tuple[re.Match[str], int | None]] = []
    place = start
    while mark := _MARK.search(text, place):
        place = mark.end("value")
        if mark["says"].strip() == "=" or _may_begin(text, mark.start()):
            enclosed = _enclosed(text, mark)
            found.append((mark, enclosed))
            place = enclosed or mark.end()
    return found


def _may_begin(text: str, place: int) -> bool:
    """Whether a labelled number may stand here: at the start, after a separator or a word such as "where"."""
    before = text[max(0, place - 16) : place].rstrip()
    return (
        not before or before[-1] in _SEPARATORS or before.rsplit(" ", 1)[-1].lstrip("([").lower() in _BEGINS
    )


def _enclosed(text: str, mark: re.Match[str]) -> int | None:
    """Where the quoted label, or the one in parentheses, closes; None for a plain label."""
    begin = mark.end()
    if mark["says"].strip() == "(":
        close = _PARENTHESIS.match(text, begin)
        return close.end() if close else None
    quote = text[begin : begin + 1]
    close = _QUOTE[quote].search(text, begin + 1) if quote in _QUOTE else None
    if close is None or _OPENS[quote].search(text, begin + 1, close.start()):
        return None  # what closes there was opened after this
    return close.end()


def _clause(
    text: str, mark: re.Match[str], enclosed: int | None, following: int | None, ends: re.Pattern[str]
) -> tuple[Clause, str]:
    """One labelled number, and the words that link it to the one that follows."""
    begin, limit = mark.end(), len(text) if following is None else following
    stop, link = (limit, "") if following is None else _unlinked(text, enclosed or begin, limit)
    if enclosed and not (following and _ALTERNATIVE.match(text, enclosed, stop)):
        stop = enclosed
    else:  # also "'this' or 'that'", all of it one label
        stop = min(stop, _plain_end(text, begin, stop, ends if following is None else None))
        enclosed = None
    value, says = as_integer(mark["value"]), mark["says"].strip()
    label = clean(text[begin:stop], says)
    value = LONGEST + 1 if value is None else value
    clause = Clause(value, says, label, enclosed is None, mark.start(), stop, text[stop:limit])
    return clause, link


def _unlinked(text: str, begin: int, limit: int) -> tuple[int, str]:
    """Where a label ends that another labelled number follows, and the words between the two."""
    begun = max(begin, limit - 40)
    place = limit - 1 if text.endswith("(", begin, limit) else limit
    link = _LINK.search(text, begun, place)
    before = text[begin : link.start() if link else place].rstrip(_SPACES)
    before = _SO_ON.sub("", before).rstrip(_SPACES)
    return begin + len(before), link[0].strip().lower() if link else ""


def _plain_end(text: str, begin: int, limit: int, ends: re.Pattern[str] | None) -> int:
    """Where a plain label ends at the latest: at a break, a parenthesis it did not open, the end of the sentence."""
    depth = 0
    for sign in _BOUNDS.finditer(text, begin, limit):
        depth += (sign[0] == "(") - (sign[0] == ")")
        if depth < 0 or sign[0] == BREAK:
            limit = sign.start()
            break
    if ends is None:
        return limit
    stops = [pattern.search(text, begin, limit) for pattern in (ends, _ADVICE)]
    return min([limit, *(found.start() for found in stops if found)])


_STRAY = re.compile(r"(?:^[^']*[.,]'|(?<!\b[A-Za-z]\.[A-Za-z])(?<!\.)\.)$")
"""A quote that closes what the label did not open, or a full stop (but not that of "U.S.")."""


def clean(label: str, says: str = "") -> str:
    """A label without the quotes, separators and parenthesis around it."""
    label = label.strip(" ,;:" + BREAK)
    if says == "(":
        label = re.sub(r"^(?:for|means|meaning|being|is|=)\s+", "", label.removesuffix(")").strip())
    while label:
        shorter = label.rstrip(" ,;:")
        if _is_quoted(shorter):
            shorter = shorter[1:-1].strip()
        elif (shorter.endswith('"') and shorter.count('"') % 2) or _STRAY.search(shorter):
            shorter = shorter[:-1]
        elif shorter.startswith('"') and shorter.count('"') % 2:
            shorter = shorter[1:]
        if shorter == label:
            break
        label = shorter
    return label


def _is_quoted(label: str) -> bool:
    """Whether one pair of quotes encloses all of it; an apostrophe within is none ("'don't know'")."""
    if len(label) < 2 or label[0] != label[-1] or label[0] not in "\"'":
        return False
    inner = label[1:-1]
    return label[0] not in inner or (label[0] == "'" and not re.search(r"' |[,;(] '", inner))


_DIGIT = re.compile(r"\d")
_INNER = re.compile(
    r"(?:(?<!\d)[,;:.]\s*|[,;:.]\s+|(?P<link>[\s(](?:and|or)\s)|(?P<open>\())(?P<inner>-?\d+)"
    r"(?P<after>\s?%|\s?-\s?\d|\s(?:to|or|and)\s\d|[.,/:]\d|\+|\w)?"
)
_PAIRED = re.compile(r"(?<![\d.,$€£])(\d{1,4})%?$")
_YEAR = re.compile(r"\((?:19|20)\d\d\)")
_SECOND_RANGE = re.compile(
    r"(?:[,;(]\s?(?:from|between)|\b(?:scale|range)(?: of| from| between)?) [$€£]?-?\d"
)
_NEXT_SENTENCE = re.compile(r"[A-Za-z]\. [A-Z].*\d")
_WORD = re.compile(
    r"(?:[,;(]|\b(?:or|and)) ?(?:zero|one|two|three|four|five|six|seven|eight|nine|ten) (?:if|for|means?|when|is)\b"
)
_UP_TO = re.compile(r"(?<!\d)(?<!\d%)\s(?:to|through) -?\d+$")
_INNER_RANGE = re.compile(r"(?<!^)\b(?:from|between) [$€£]?-?\d|\d\s?=|\d means?\b")


_BAND = re.compile(r"\(-?\d+\s?(?:-|to|and)\s?-?\d+\)$")


def hide_numbers(found: Sequence[Clause], listed: Collection[int] = ()) -> bool:
    """Whether a plain label seems to hold a further answer, or another range: "1 for Yes, 2 No".

    Args:
        found: the labelled numbers.
        listed: the same numbers, if they are the only answers; empty on a range.
    """
    if any(_hides_number(clause, listed, clause is found[-1]) for clause in found):
        return True
    if not found or not found[-1].plain or not _BAND.search(found[-1].label):
        return False
    return not all(
        _BAND.search(clause.label) for clause in found
    )  # "2 for old (0-10)": is that one range for all?


def _hides_number(clause: Clause, listed: Collection[int], last: bool) -> bool:
    label = _YEAR.sub("", clause.label)
    if not clause.plain or not (_DIGIT.search(label) or _WORD.search(label)):
        return False
    if any(pattern.search(label) for pattern in (_SECOND_RANGE, _NEXT_SENTENCE, _WORD, _UP_TO)):
        return True
    if not listed and _INNER_RANGE.search(label):
        return True
    if any(_is_bare(label, inner) for inner in _INNER.finditer(label)):
        return True
    return bool(listed) and _in_gap(label, listed, last)


def _is_bare(label: str, inner: re.Match[str]) -> bool:
    """Whether a number after a separator is no part of an expression such as "3 or 4", "18 to 24", "(10 miles)"."""
    if inner["after"] or (inner["open"] and not label.startswith(")", inner.end())):
        return False
    before = _PAIRED.search(label[: inner.start()]) if inner["link"] else None
    return before is None or int(before[1]) >= int(inner["inner"])


def _in_gap(label: str, listed: Collection[int], last: bool) -> bool:
    """Whether a label holds a number that the list leaves out beside one that it has, or ends with the next."""
    if last and re.search(rf"(?<![\d.,$€£]){max(listed) + 1}$", label):
        return True
    near = {value + step for value in listed for step in (-1, 1)} - set(listed)
    missing = {value for value in near if min(listed) < value < max(listed)}
    return any(
        int(text) in missing for text in re.findall(r"(?<![\w.,/:$€£-])\d{1,9}(?![\w.,/:]\d|\w)", label)
    )


def labels_fit(labelled: Collection[int], low: int, high: int, choice: bool = False) -> bool:
    """Whether these may be the answers that have a label on a range: its ends, its middle, or evenly about it.

    Args:
        labelled: answers with a label.
        low: the range's lower end.
        high: the range's upper end.
        choice: whether the labels are worded as a choice ("1 for this, 2 for that"), which names all that there are.
    """
    given, ends = set(labelled), {low, high}
    if not all(low <= value <= high for value in given):
        return False
    if all(value in ends or 2 * value == low + high for value in given):
        return True
    if {low + high - value for value in given} == given:
        return True
    return ends <= given and 2 * len(given) <= high - low + 1 and not choice


def merged(pairs: Iterable[tuple[int, str]]) -> dict[int, str] | None:
    """Labels by answer, ascending; None if one answer has two."""
    found: dict[int, str] = {}
    for value, label in pairs:
        if label and found.setdefault(value, label).lower() != label.lower():
            return None
    return dict(sorted(found.items()))
