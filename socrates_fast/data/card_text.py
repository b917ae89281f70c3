"""A data card as Markdown, from what ``card.card`` gives; the whole is in ``card.json``."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml

from socrates_fast.data.plots import LENGTHS, SCALES
from socrates_fast.data.splits import SIDES

MOST = 10
"""Lines of a list; ``card.json`` has them all."""
LONGEST = 160
"""Characters of a text from the data that are shown."""

Json = Mapping[str, Any]


def card_text(card: Json) -> str:
    """The card for people to read.

    Args:
        card: see ``card.card``.
    """
    parts = (
        _head, _splits, _warnings, _scales, _cells, _persona, _lengths, _left_out, _kept, _unused, _overlap, _near,
        _conditions, _pairs, _settings,
    )  # fmt: skip
    blocks = [block for block in (part(card) for part in parts) if block]
    return "\n\n".join("\n".join(block) for block in blocks) + "\n"


def _head(card: Json) -> list[str]:
    identity = [f"- {_plain(name)}: {_plain(value)}" for name, value in _flat(card["identity"])]
    more = len(identity) - MOST
    return [
        f"# Data of {_plain(card['name'])}", "",
        f"Source: {_plain(card['source'])}, {card['rows_read']:,} rows read", "",
        *identity[:MOST], *([f"- and {more} more"] if more > 0 else []),
    ]  # fmt: skip


def _splits(card: Json) -> list[str]:
    names = ("rows", "studies", "cells", "people", "stimuli")
    rows = [[side, *(counts[name] for name in names)] for side, counts in card["splits"].items()]
    return ["## Sides", "", *_table(["split", *names], rows), "", "A cell is one (study, condition, task)."]


def _warnings(card: Json) -> list[str]:
    return (
        ["## Warnings", "", *(f"- {_plain(text, None)}" for text in card["warnings"])]
        if card["warnings"]
        else []
    )


def _scales(card: Json) -> list[str]:
    scales = card["scales"]
    total = sum(sum(kind["rows"].values()) for kind in scales["kinds"].values())
    rows = [
        [name, *(kind["rows"][side] for side in SIDES), f"{sum(kind['rows'].values()) / total:.1%}", kind["cells"],
         f"{kind['lowest']:,} to {kind['highest']:,}"]
        for name, kind in scales["kinds"].items()
    ]  # fmt: skip
    lines = [
        "## Scales",
        "",
        *_table(["kind", *SIDES, "share", "cells", "answers"], rows),
        "",
        f"![Scales]({SCALES})",
    ]
    several, differ = scales["cells_with_several"], scales["tasks_that_differ"]
    lines += ["", f"- Cells with more than one scale: {len(several):,}"]
    lines += [f"  - {_cell(cell)}: {cell['scales']} scales" for cell in several[:MOST]]
    lines += [f"- Tasks whose scale is not the same in all conditions: {len(differ):,}"]
    lines += [
        f"  - study {_plain(task['study_id'])} task {task['task_num']}: {task['scales']} scales "
        f"in {task['conditions']} conditions"
        for task in differ[:MOST]
    ]
    return lines


def _cells(card: Json) -> list[str]:
    sizes, repeated = card["cell_sizes"], card["repeated"]
    rows = [
        [f"{side}: {name}", *(f"{value:,.0f}" for value in facts[name].values())]
        for side, facts in sizes["sides"].items()
        for name in ("rows", "people")
    ]
    lines = ["## Cells", "", *_table(["", "min", "25%", "median", "75%", "max"], rows), ""]
    for side, facts in sizes["sides"].items():
        cells = card["splits"][side]["cells"]
        lines.append(
            f"- {side}: {facts['few_people']:,} of {cells:,} cells have fewer than {sizes['few']} people"
        )
    lines += [
        "",
        f"A Wasserstein distance to the answers of fewer than {sizes['few']} people is mostly noise.",
    ]
    if repeated["items"]:
        lines += [
            "",
            f"{repeated['items']:,} times one person answered one task more than once, with other stimuli "
            f"({repeated['rows']:,} rows in {repeated['studies']:,} studies): there an item is a task with its stimulus.",
        ]
    return lines


def _persona(card: Json) -> list[str]:
    rows = [
        [_plain(name), f"{facts['missing']:.1%}", facts["distinct"], "yes" if facts["shown"] else "no"]
        for name, facts in card["persona"].items()
    ]
    return [
        "## Persona",
        "",
        *_table(["field", "missing in rows", "different values", "in the prompt"], rows),
    ]


def _lengths(card: Json) -> list[str]:
    found = card["lengths"]
    if found is None:
        return []
    names = ("min", "median", "mean", "90%", "99%", "max")
    lines = ["## Lengths", "", f"Prompt and answer of a row, in {found['unit']}:", ""]
    lines += [*_table(names, [[f"{found[name]:,.0f}" for name in names]]), "", f"![Lengths]({LENGTHS})", ""]
    if found["all_measured"]:
        lines.append("Every row was measured.")
    else:
        lines.append(
            f"Quantiles are of rows chosen by hash; {found['measured']:,} of {found['rows']:,} rows were measured in all, "
            "among them those of the longest stimuli in bytes. A longer row among the others is unlikely, not impossible."
        )
    if found["beyond"] is None:
        return [*lines, "", "The model's tokenizer was not at hand: characters are no tokens."]
    beyond = f"Measured rows longer than `model.max_length` ({found['max_length']:,}): {found['beyond']:,}"
    return [*lines, "", beyond + ("; training will refuse them." if found["beyond"] else ".")]


def _left_out(card: Json) -> list[str]:
    return _counted(card["dropped"], f"## Rows left out: {card['dropped_rows']:,}")


def _kept(card: Json) -> list[str]:
    rows = card["kept_anyway"]
    title = f"## Doubtful rows kept, as the recipe says: {_sum(rows):,}"
    return _counted(rows, title) if rows else []


def _unused(card: Json) -> list[str]:
    rows = card["unused"]
    return _counted(rows, f"## Sound rows not used: {_sum(rows):,}") if rows else []


def _counted(rows: Sequence[Json], title: str) -> list[str]:
    """Rows by reason, then the cells with the most of them."""
    if not rows:
        return [title]
    reasons: dict[str, int] = {}
    for row in rows:
        reasons[row["reason"]] = reasons.get(row["reason"], 0) + row["rows"]
    lines = [
        title,
        "",
        *(f"- {count:,} x {_plain(reason)}" for reason, count in _largest(reasons.items())),
        "",
    ]
    top = sorted(rows, key=lambda row: -row["rows"])[:MOST]
    lines += [
        f"- {_cell(row)}: {row['rows']} x {_plain(row['reason'])} (first: {_plain(row['example'])})"
        for row in top
    ]
    more = len(rows) - len(top)
    return [*lines, *([f"- and {more} more cells and reasons: see `card.json`"] if more else [])]


def _largest(counts: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
    return sorted(counts, key=lambda entry: (-entry[1], entry[0]))


def _sum(rows: Sequence[Json]) -> int:
    return sum(row["rows"] for row in rows)


def _overlap(card: Json) -> list[str]:
    """A table of what stands on several sides; ``test_rows``: rows of the test side that have one which also trains."""
    overlap = card["overlap"]
    rows = [[_plain(name), *facts.values()] for name, facts in overlap.items() if isinstance(facts, Mapping)]
    if not rows:
        return []
    whole = f"whole {_plain(overlap['whole'])}" if overlap.get("whole") else "as the mapping says"
    of_test = f"test rows of it ({overlap['test_rows']:,} in all)"
    header = ["", "in all", "on several sides", of_test]
    return [
        "## On several sides",
        "",
        f"Split by {_plain(overlap['by'])}: {whole}.",
        "",
        *_table(header, rows),
    ]


def _near(card: Json) -> list[str]:
    near = card["near_duplicates"]
    if near is None:
        return _not_looked_for(card["overlap"])
    lines = [
        "## Nearly the same stimuli on two sides", "",
        f"{near['count']:,} pairs across studies and {near['count_within']:,} within one, of texts that share "
        f"{near['threshold']:.0%} of their runs of words or more ({near['looked_at']:,} of {near['texts']:,} texts compared).",
    ]  # fmt: skip
    for pair in near["pairs"][:MOST]:
        lines += [
            "", f"- {_cell(pair)} ({pair['side']}) and {_cell(pair, 'test_')} (test): {pair['jaccard']:.2f}",
            f"  - {_plain(pair['text'])}", f"  - {_plain(pair['test_text'])}",
        ]  # fmt: skip
    more = near["count"] - min(MOST, len(near["pairs"]))
    return [*lines, *(["", f"and {more:,} more across studies"] if more > 0 else [])]


def _not_looked_for(overlap: Json) -> list[str]:
    """Why there are no near-duplicates, for the splits that hold out no texts."""
    held = {"participant": "people", "random": "rows"}.get(overlap.get("by", ""))
    if held is None:
        return []
    stimuli = overlap["stimuli"]
    return [
        f"Near-duplicates were not looked for: this split holds out {held}, not texts, and {stimuli['shared']:,} of "
        f"{stimuli['all']:,} stimuli stand on several sides."
    ]


def _conditions(card: Json) -> list[str]:
    named = [f"- condition {number}: {_plain(name)}" for number, name in card["conditions"].items()]
    return ["## Conditions", "", *named] if named else []


def _pairs(card: Json) -> list[str]:
    found = card["pairs"]
    if found is None:
        return []
    return [
        "## Preference pairs", "",
        f"{found['pairs']:,} of {card['splits']['train']['rows']:,} training rows have a rejected answer, "
        f"{found['same_stimulus']:,} of them from somebody who saw the same stimulus and "
        f"{found['pairs'] - found['same_stimulus']:,} from somebody in the same cell who saw another. For the other rows "
        "nobody in the cell gave another answer, or their own is off its scale.",
    ]  # fmt: skip


def _settings(card: Json) -> list[str]:
    prompt, versions = card["prompt"], card["versions"]
    data = yaml.safe_dump(
        {"data": card["data"]}, sort_keys=False, allow_unicode=True, default_flow_style=None, width=100
    )
    return [
        "## How it was made", "",
        f"- order of the prompt: {prompt['order']}",
        f"- persona fields: {', '.join(map(_plain, prompt['fields'])) or 'none'}",
        f"- system line: {_plain(prompt['system'], None) or 'none'}",
        f"- socrates-fast {versions['socrates_fast']}, polars {versions['packages'].get('polars', '?')}, "
        f"Python {versions['python']}", "",
        "```yaml", data.rstrip().replace("```", "` ` `"), "```",
    ]  # fmt: skip


def _cell(row: Json, prefix: str = "") -> str:
    study, condition, task = (row[prefix + name] for name in ("study_id", "condition_num", "task_num"))
    return f"study {_plain(study)} condition {condition} task {task}"


def _table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    shown = [[f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row] for row in rows]
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *shown]
    return [f"| {' | '.join(line)} |" for line in lines]


def _plain(value: Any, most: int | None = LONGEST) -> str:
    """A text from the data on one line that Markdown does not read as anything else."""
    text = " ".join(str(value).split())
    text = text if most is None or len(text) <= most else text[: most - 1] + "…"
    return "".join("\\" + letter if letter in "\\`*_[]<>|#" else letter for letter in text)


def _flat(value: Any, name: str = "") -> list[tuple[str, Any]]:
    """Leaves of nested dictionaries with their dotted names."""
    if not isinstance(value, Mapping):
        return [(name or "identity", value)]
    return [
        leaf for key, part in value.items() for leaf in _flat(part, f"{name}.{key}" if name else str(key))
    ]
