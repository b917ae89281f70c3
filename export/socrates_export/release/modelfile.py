"""A Modelfile: how Ollama must ask the model, so that it is asked as it was trained.

Ollama fills a template of Go's ``text/template``, not the Jinja template in the file. Here it is made of the text that
the Jinja template itself prints around system line, user turn and answer, so it is right for any template. What
Ollama's parser would lose or misread (unprintable characters, three quotes before a space, braces) is written as
Go string constants. Source: ollama/ollama, parser/parser.go, template/template.go and sample/.
"""

import re
from collections.abc import Mapping

from socrates_export.release.chat import ChatText

MODELFILE = "Modelfile"

NO_TRUNCATION: dict[str, int | float] = {
    "temperature": 1,
    "top_k": 0,
    "top_p": 1,
    "min_p": 0,
    "repeat_penalty": 1,
}
"""Samples from the model's own distribution. In Ollama and llama.cpp alike ``top_k`` 0 keeps all tokens, ``top_p`` 1
and ``min_p`` 0 cut nothing and ``repeat_penalty`` 1 changes nothing; the defaults of both cut."""

MOST_CONTEXT = 4096
"""Tokens of context asked for where the model allows more; a survey question needs far fewer."""

_SPACES = " \t\r\n"


def modelfile(files: Mapping[str, str], chosen: str, chat: ChatText, system: str, context: int) -> str:
    """The Modelfile's content.

    Args:
        files: names of the GGUF files beside it, by type.
        chosen: the type that is run; the others are named in comments.
        chat: the chat template's text.
        system: the system line that the model was trained with, "" for none.
        context: most tokens that the model takes.
    """
    others = [f"# FROM ./{name}" for kind, name in files.items() if kind != chosen]
    lines = [f"FROM ./{files[chosen]}", *others, "", f"TEMPLATE {_quoted(template(chat, system))}"]
    if system and _carries(system):
        lines.append(f"SYSTEM {_quoted(system)}")
    options = {**NO_TRUNCATION, "num_ctx": min(context, MOST_CONTEXT)}
    lines += ["", *(f"PARAMETER {name} {value}" for name, value in options.items())]
    lines += [f"PARAMETER stop {_quoted(end)}" for end in chat.ends if _carries(end)]
    return "\n".join(lines) + "\n"


def template(chat: ChatText, system: str) -> str:
    """The Go template that prints what ``chat.prompt`` does, for one question.

    ``{{ .Response }}`` must stand outside the branches: Ollama drops what follows it, branches too, when it prompts.
    """
    user = "{{ .Prompt }}"
    plain = _literal(chat.without[0]) + user + _literal(chat.without[1])
    before, between, after, _ = chat.with_system
    rest = user + _literal(after)
    asked = f"{{{{ if .System }}}}{_literal(before)}{{{{ .System }}}}{_literal(between)}{rest}{{{{ else }}}}"
    # A line that a SYSTEM instruction cannot carry is a constant of the template.
    fixed = _literal(before + system + between) + rest
    asked += (fixed if system and not _carries(system) else plain) + "{{ end }}"
    return asked + "{{ .Response }}" + _literal(chat.without[-1])


def _carries(text: str) -> bool:
    """Whether the parser reads a quoted value back as it is: it drops what is unprintable, and ends at ``\"\"\" ``."""
    return all(c.isprintable() or c in _SPACES for c in text) and not re.search(r'"""[ \t\r\n]', text)


def _quoted(text: str) -> str:
    return f'"""{text}"""'


def _literal(text: str) -> str:
    """``text`` as a Go template prints it."""
    unsafe = rf'\{{+|"{{3,}}|[^{_SPACES}!-~]+'
    return re.sub(
        unsafe, lambda found: found[0] if _is_plain(found[0]) else f'{{{{ "{_go(found[0])}" }}}}', text
    )


def _is_plain(text: str) -> bool:
    return text.isprintable() and not text.startswith(("{", '"'))


def _go(text: str) -> str:
    """The inside of a Go string constant."""
    return "".join(c if c == "{" else f"\\U{ord(c):08x}" for c in text)
