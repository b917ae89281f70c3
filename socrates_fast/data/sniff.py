"""What a file really is, whatever its name says, and which encoding it is in."""

import codecs
import re
from pathlib import Path

_EXCEL = "an Excel or OpenDocument workbook; open it there and save it as 'CSV UTF-8'"
_PACKED = "a packed archive; unpack it and give the file inside"
_MAGIC: tuple[tuple[bytes, str, tuple[str, ...]], ...] = (
    (b"PK\x03\x04", "", ()),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook (.xls) or a protected one; save it as 'CSV UTF-8'", ()),
    (b"\x1f\x8b", f"{_PACKED} (gzip)", ()),
    (b"BZh", f"{_PACKED} (bzip2)", ()),
    (b"\xfd7zXZ", f"{_PACKED} (xz)", ()),
    (b"%PDF", "a PDF document; export the data as CSV instead", ()),
    (b"SQLite format 3", "an SQLite database; export the table as CSV", ()),
    (b"PAR1", "a parquet file; call it .parquet", (".parquet",)),
    (b"$FL2", "an SPSS file; call it .sav", (".sav", ".zsav")),
    (b"$FL3", "an SPSS file; call it .zsav", (".sav", ".zsav")),
    (b"<stata_dta>", "a Stata file; call it .dta", (".dta",)),
    (b"RDX", "an R workspace; write the data frame with write.csv", ()),
)
"""First bytes, what they mean, and the name endings that say so."""

_PAGE = re.compile(rb"\s*<(?:!doctype\s+html|html|\?xml)", re.IGNORECASE)
_SURVEY = re.compile(rb'\s*\{\s*"SurveyEntry"')
HEAD = 4096
"""Bytes at a file's beginning that are looked at."""

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
_CANDIDATES = ("utf-8", "cp1252", "shift_jis", "gb18030", "latin-1")
BLOCK = 1 << 20


def mistaken(path: Path) -> str | None:
    """What is wrong with a file as a whole: not there, empty, or of another kind than its name says; None: nothing.

    Returns:
        The message, without the path.
    """
    if path.is_dir():
        return "is a folder; name a file in it"
    if not path.is_file():
        return f"no such file ({path.absolute()}); check its name, or data.path in the recipe"
    with path.open("rb") as file:
        head = file.read(HEAD)
    if not head:
        return "the file is empty (0 bytes); export or copy it again"
    return _other_kind(head, path.suffix.lower())


def _other_kind(head: bytes, ending: str) -> str | None:
    for magic, what, endings in _MAGIC:
        if head.startswith(magic) and ending not in endings:
            return f"this is {what or _archive(head)}"
    if ending in (".sav", ".zsav") and not head.startswith((b"$FL2", b"$FL3")):
        return (
            "this is not a file of SPSS, which would begin with $FL2; export it again, or call it what it is"
        )
    if _SURVEY.match(head):
        return "this is a Qualtrics questionnaire (.qsf), not its answers; export the data as CSV"
    if _PAGE.match(head):
        return "this is a web page or XML, perhaps a log-in page that was saved instead of the file; download again"
    if not head.strip(b"\0"):
        return "the file begins with nothing but NUL bytes; it was damaged when it was copied; copy it again"
    return None


def _archive(head: bytes) -> str:
    office = b"[Content_Types]" in head or b"xl/" in head or b"mimetypeapplication/vnd.oasis" in head
    return _EXCEL if office else f"{_PACKED} (zip)"


def other_encoding(path: Path, encoding: str) -> str | None:
    """The encoding that a file's first bytes prove, if it is not ``encoding``."""
    name = _known(encoding)
    with path.open("rb") as file:
        head = file.read(HEAD)
    for mark, proven in _MARKS:
        if head.startswith(mark):
            fits = name == proven or (proven.startswith("utf-8") and name in ("utf-8", "utf-8-sig"))
            return None if fits or (name or "").startswith(proven) else proven
    zeros = [head[start::2].count(0) / max(1, len(head) // 2) for start in (0, 1)]
    if max(zeros) > 0.3 and min(zeros) < 0.1 and not (name or "").startswith(("utf-16", "utf-32")):
        return "utf-16-be" if zeros[0] > zeros[1] else "utf-16-le"
    return None


def _known(encoding: str) -> str | None:
    try:
        return codecs.lookup(encoding).name
    except LookupError:
        return None


def is_encoding(name: str) -> bool:
    """Whether Python knows an encoding of this name."""
    return _known(name) is not None


def decodes(path: Path, encoding: str) -> bool:
    """Whether the whole file can be read in an encoding (in blocks; nothing is kept)."""
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        with path.open("rb") as file:
            while block := file.read(BLOCK):
                decoder.decode(block)
            decoder.decode(b"", final=True)
    except UnicodeError:
        return False
    return True


def shown(encoding: str) -> str:
    """An encoding's name as people know it."""
    return "UTF-8" if encoding.lower() in ("utf-8-sig", "utf-8", "utf8") else encoding


def remedy(encoding: str, declared: bool) -> str:
    """How to have a file read that is in another encoding.

    Args:
        declared: whether a recipe can declare the encoding; if not, the file must be UTF-8.
    """
    return f"set data.table.encoding: {encoding}" if declared else f"convert it from {encoding} to UTF-8"


def advice(path: Path, encoding: str, sample: bytes, some_fit: bool, declared: bool) -> str:
    """What to do about bytes that are not ``encoding``.

    Args:
        sample: the bytes of the first bad line.
        some_fit: whether other characters of the file, beyond ASCII, are in ``encoding``.
        declared: see ``remedy``.
    """
    if some_fit:
        return f"the rest of the file is {shown(encoding)}, so mend this line (text pasted from elsewhere, or a damaged copy)"
    for name in _CANDIDATES:
        if name != _known(encoding) and decodes(path, name):
            return f"as {name} it reads {_around(sample, name)!r}; if that is right, {remedy(name, declared)}"
    return "export it again as UTF-8"


def _around(sample: bytes, encoding: str) -> str:
    """The text around the first byte that is not ASCII."""
    text = sample.decode(encoding, "replace")
    first = next((index for index, letter in enumerate(text) if not letter.isascii()), 0)
    return text[max(0, first - 15) : first + 15].strip()
