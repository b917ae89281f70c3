"""Find, read, override, list and copy recipes.

A recipe is YAML. Every fault in it is reported at once, each with file, line, dotted name and, for an unknown
key, the nearest known one.
"""

import difflib
import importlib.resources
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from socrates_fast.errors import RecipeError
from socrates_fast.nearby import models_in
from socrates_fast.recipe import Recipe, Section

Location = tuple[str | int, ...]


def shipped() -> dict[str, Path]:
    """The recipes that come with socrates-fast: name ("tiny", "twin2k/promiscuous-donors") to file."""
    root = _shipped_root()
    files = sorted(root.rglob("*.yaml"))
    return {path.relative_to(root).with_suffix("").as_posix(): path for path in files}


def _shipped_root() -> Path:
    packaged = Path(str(importlib.resources.files("socrates_fast"))) / "_recipes"
    return packaged if packaged.is_dir() else Path(__file__).parents[1] / "recipes"


def find(name: str) -> Path:
    """The file of a recipe given by path or by shipped name.

    Raises:
        RecipeError: there is none; the message names the nearest.
    """
    path = Path(name)
    if path.is_file():
        return path
    known = shipped()
    plain = name.removeprefix("recipes/").removesuffix(".yaml")
    if plain in known:
        return known[plain]
    near = difflib.get_close_matches(plain, known, n=1)
    hint = f". Did you mean {near[0]}?" if near else f". Shipped recipes: {', '.join(known)}."
    hint = models_in(path) or hint  # doctor takes a model as well
    raise RecipeError(f"{name}: no such file, and no recipe is called that{hint}")


def copy(name: str, target: Path) -> Path:
    """Copy a shipped recipe to ``target`` (a file or a folder) for editing.

    Raises:
        RecipeError: the target exists.
    """
    source = find(name)
    target = target / source.name if target.is_dir() else target
    if target.exists():
        raise RecipeError(f"{target} exists; name another file or delete it first")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    return target


def load(name: str, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe and apply ``overrides`` ("train.epochs=2", values in YAML).

    Raises:
        RecipeError: all faults at once.
    """
    path = find(name)
    content, lines = _read_yaml(path)
    places = {location: f"{path}:{line}" for location, line in lines.items()}
    for override in overrides:
        _apply(content, override, places)
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        faults = [_fault(dict(fault), places, str(path)) for fault in error.errors()]
        raise RecipeError("\n".join(faults)) from error


SectionType = TypeVar("SectionType", bound=Section)


def section(kind: type[SectionType], **values: Any) -> SectionType:
    """One section from values that flags gave.

    Raises:
        RecipeError: a value is out of its range.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise RecipeError("\n".join(_fault(dict(f), {}, "flags") for f in error.errors())) from error


def load_section(kind: type[SectionType], name: str, overrides: Sequence[str]) -> SectionType:
    """One section, called ``name`` in a recipe, from its defaults and overrides ("export.parity.logits=false").

    Raises:
        RecipeError: an override of another section, or a value out of its range.
    """
    content: dict[str, Any] = {}
    for override in overrides:
        if not override.startswith(f"{name}."):
            raise RecipeError(f"--set {override}: without a recipe only {name}.* can be set")
        _apply(content, override, {})
    return section(kind, **content.get(name, {}))


def dump(recipe: Recipe) -> str:
    """The recipe with every option spelled out, as YAML."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _read_yaml(path: Path) -> tuple[dict[str, Any], dict[Location, int]]:
    try:
        text = path.read_text(encoding="utf-8")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        content = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(content, dict) or node is None:
        raise RecipeError(f"{path}: a recipe is a mapping that starts with 'name: ...'")
    try:
        return content, dict(_lines(node, ()))
    except RecipeError as error:
        raise RecipeError(f"{path}: {error}") from error


def _lines(node: yaml.Node, location: Location) -> Iterator[tuple[Location, int]]:
    """Line (from 1) of every key and item."""
    if isinstance(node, yaml.MappingNode):
        seen: set[Any] = set()
        for key, value in node.value:
            place = (*location, key.value)
            if key.value in seen:
                line = key.start_mark.line + 1
                raise RecipeError(f"line {line}: {'.'.join(map(str, place))} is given twice")
            seen.add(key.value)
            yield place, key.start_mark.line + 1
            yield from _lines(value, place)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield (*location, index), value.start_mark.line + 1
            yield from _lines(value, (*location, index))


def _apply(content: dict[str, Any], override: str, places: dict[Location, str]) -> None:
    name, equals, text = override.partition("=")
    if not equals or not name:
        raise RecipeError(f"--set {override}: write it as key.subkey=value")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"--set {override}: the value is not valid YAML: {error}") from error
    keys = name.split(".")
    target = content
    for depth, key in enumerate(keys[:-1], start=1):
        below = target.setdefault(key, {})
        if not isinstance(below, dict):
            raise RecipeError(f"--set {override}: {'.'.join(keys[:depth])} has no options below it")
        target = below
    target[keys[-1]] = value
    places[tuple(keys)] = f"--set {override}"
    for length in range(1, len(keys)):
        places.setdefault(tuple(keys[:length]), f"--set {override}")


def _fault(fault: dict[str, Any], places: dict[Location, str], path: str) -> str:
    location: Location = tuple(fault["loc"])
    wrong_key = location[-1:] == ("[key]",)  # of a mapping whose keys are given
    if wrong_key:
        location = location[:-1]
    dotted = ".".join(str(part) for part in location)
    place = path
    for length in range(len(location), 0, -1):
        known = tuple(str(part) if isinstance(part, str) else part for part in location[:length])
        if known in places:
            place = places[known]
            break
    if wrong_key and "expected" in fault.get("ctx", {}):
        keys = str(fault["ctx"]["expected"]).replace("'", "").replace(" or ", ", ").split(", ")
        return f"{place}: {dotted}: unknown key{_near_or_all(str(location[-1]), keys)}"
    if fault["type"] == "extra_forbidden":
        return f"{place}: {dotted}: unknown key{_nearest(location)}"
    if fault["type"] == "missing":
        return f"{place}: {dotted}: missing"
    message = str(fault["msg"]).removeprefix("Value error, ")
    return f"{place}: {dotted}: {message}" if dotted else f"{place}: {message}"


def _nearest(location: Location) -> str:
    """A hint at the key that was probably meant: a sibling's name, or the same name elsewhere."""
    wanted = str(location[-1])
    siblings = _keys_at(location[:-1])
    elsewhere = [name for name in option_names() if name.split(".")[-1] == wanted]
    if elsewhere and not difflib.get_close_matches(wanted, siblings, n=1):
        return f" (it belongs in {elsewhere[0].rpartition('.')[0] or 'the top level'})"
    return _near_or_all(wanted, siblings)


def _near_or_all(wanted: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(wanted, known, n=1)
    return f" (did you mean {near[0]}?)" if near else f" (known here: {', '.join(known)})"


def _keys_at(location: Location) -> list[str]:
    model: type[BaseModel] | None = Recipe
    named = False  # whether the next part is a name that the user gave
    for part in location:
        if named:
            named = False
            continue
        field = model.model_fields.get(str(part)) if model else None
        model = section_of(field.annotation) if field else None
        named = field is not None and get_origin(field.annotation) is dict
    return list(model.model_fields) if model else []


def section_of(annotation: Any) -> type[BaseModel] | None:
    """The section that an option's type names (also inside ``X | None`` or ``dict[str, X]``), if any."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (section_of(argument) for argument in get_args(annotation))
    return next((section for section in found if section), None)


def option_names(model: type[BaseModel] = Recipe, prefix: str = "") -> Iterator[str]:
    """Dotted names of all options."""
    for name, field in model.model_fields.items():
        yield prefix + name
        section = section_of(field.annotation)
        if section:
            yield from option_names(section, f"{prefix}{name}.")
