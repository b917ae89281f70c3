"""What Ollama does with a Modelfile, as far as the exporter's need it: its parser, and the part of Go's templates.

Written from the behaviour of ollama/ollama's parser/parser.go and template/template.go. Anything that a Modelfile of
ours must not hold is an assertion here.
"""

import re
from dataclasses import dataclass, field

INSTRUCTIONS = {"FROM", "TEMPLATE", "SYSTEM", "PARAMETER", "LICENSE", "MESSAGE", "ADAPTER"}
_ACTION = re.compile(r'\{\{ ("(?:[^"\\\n]|\\U[0-9a-f]{8})*"|\.?[A-Za-z]+(?: \.[A-Za-z]+)?) \}\}')


@dataclass
class Parsed:
    """A Modelfile's content; every parameter is a list of its values."""

    model: str = ""
    template: str = ""
    system: str = ""
    parameters: dict[str, list[str]] = field(default_factory=dict)


def parse(text: str) -> Parsed:
    """Read a Modelfile."""
    parsed = Parsed()
    rest = text
    while rest := rest.lstrip(" \t\r\n"):
        if rest.startswith("#"):
            rest = rest.partition("\n")[2]
            continue
        name, _, rest = rest.partition(" ")
        assert name in INSTRUCTIONS, name
        if name == "PARAMETER":
            option, _, rest = rest.partition(" ")
            assert re.fullmatch(r"[A-Za-z0-9_]+", option), option
        value, rest = _value(rest)
        match name:
            case "FROM":
                assert not parsed.model
                parsed.model = value
            case "PARAMETER":
                parsed.parameters.setdefault(option, []).append(value)
            case _:
                setattr(parsed, name.lower(), value)
    assert parsed.model
    return parsed


def _value(text: str) -> tuple[str, str]:
    """A value and what follows: it ends at the first line's end (or, if quoted, space) where its quotes are closed."""
    read = ""
    for place, c in enumerate([*text, "\n"]):
        if c in " \t\r\n":
            value = _unquote(read.strip())
            if value is not None and c in "\r\n":
                return value, text[place:]
            # A quoted value that a space follows stays open, but what comes then is outside the quotes.
            assert value is None or not read.lstrip().startswith('"'), read
            read += c
        elif c.isprintable():
            read += c
    raise AssertionError(f"a value that does not end: {text!r}")


def _unquote(text: str) -> str | None:
    for quotes in ('"""', '"'):
        if text.startswith(quotes):
            closed = len(text) >= 2 * len(quotes) and text.endswith(quotes)
            return text[len(quotes) : -len(quotes)] if closed else None
    return text


def render(template: str, system: str, prompt: str) -> str:
    """What Ollama sends to the model: the template up to where the response would be."""
    values = {"System": system, "Prompt": prompt}
    out: list[str] = []
    taken = [True]
    place = 0
    for action in _ACTION.finditer(template):
        text, word = template[place : action.start()], action[1]
        assert not re.search(r"\{\{|\{$", text), f"an action that Go cannot read: {text!r} before {action[0]}"
        place = action.end()
        if all(taken):
            out.append(text)
        if word == ".Response":
            assert taken == [True], "what follows the response is dropped, branches too"
            return "".join(out)
        if word.startswith("if "):
            taken.append(bool(values[word.removeprefix("if .")]))
        elif word == "else":
            taken[-1] = not taken[-1]
        elif word == "end":
            taken.pop()
        elif all(taken):
            out.append(_printed(word, values))
    raise AssertionError("no .Response")


def _printed(word: str, values: dict[str, str]) -> str:
    if word.startswith('"'):
        return re.sub(r"\\U(.{8})", lambda code: chr(int(code[1], 16)), word[1:-1])
    return values[word.removeprefix(".")]
