"""report.html: one file that needs no network, reads on a phone and prints."""

import hashlib
from base64 import b64encode
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from socrates_fast.evaluate.report import tables, words
from socrates_fast.evaluate.report.gallery import Gallery
from socrates_fast.evaluate.report.headline import cards
from socrates_fast.evaluate.summary import Summary

DROPPED = "dropped"
"""Key of ``details`` whose value, rows left out by reason, gets a table of its own."""

SORTED_BY = "wasserstein.stated"


def render_page(title: str, summary: Summary, details: Mapping[str, Any], gallery: Gallery) -> str:
    """The report as HTML; all text that comes from users is escaped.

    Args:
        title: the headline.
        summary: the figures.
        details: see ``report.render_report``.
        gallery: the plots.
    """
    from jinja2 import Environment, FunctionLoader, StrictUndefined
    from markupsafe import Markup

    loader = FunctionLoader(_part)
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, loader=loader
    )
    environment.filters |= {
        "number": words.number, "decimals": words.decimals, "interval": words.interval, "count": words.count,
    }  # fmt: skip
    metrics, script = summary.metrics, _part("sort.js")
    return environment.get_template("report.html.j2").render(
        title=title,
        style=Markup(_part("style.css")),
        script=Markup(script),
        script_hash=_hash(script),
        arrows=words.ARROWS,
        metrics=metrics,
        cards=cards(metrics),
        baselines=tables.baselines(metrics),
        figures=tables.figure_rows(metrics),
        plots=gallery,
        sorted_by=SORTED_BY,
        columns=tables.study_columns(summary.studies),
        studies=summary.studies.sort(SORTED_BY, nulls_last=True).to_dicts(),
        fields=tables.fields(metrics),
        not_parity=tables.NOT_PARITY,
        left_out=tables.left_out(metrics, details.get(DROPPED, {})),
        details={name: words.as_yaml(value) for name, value in details.items() if name != DROPPED},
    )


def _part(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _hash(script: str) -> str:
    """What the page's policy allows to run: this script, and nothing else."""
    return "sha256-" + b64encode(hashlib.sha256(script.encode()).digest()).decode()
