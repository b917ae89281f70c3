"""What goes with the files: model card, Modelfile, checksums, the base's licence, the Hub."""

import json
import shutil
from hashlib import sha256
from pathlib import Path

from socrates_export.release.card import CARD, card_text
from socrates_export.release.chat import chat_text
from socrates_export.release.checksums import PARITY, read_sums, write_sums
from socrates_export.release.facts import ReleaseFacts, RunFacts
from socrates_export.release.modelfile import MODELFILE, modelfile
from socrates_export.release.origin import legal_files
from socrates_export.source.base import open_base
from socrates_fast.recipe import PromptOptions
from socrates_fast.runs import write_json, write_text
from socrates_fast.tokenizer import FolderTokenizer


def release_names(base: Path) -> list[str]:
    """Names of the texts that a release of ``base`` (a model folder) brings, but for its checksums and its verdict."""
    return [MODELFILE, CARD, *(file.name for file in legal_files(base))]


def write_release(folder: Path, facts: ReleaseFacts) -> list[Path]:
    """Write all that goes with the GGUF files in ``folder``: verdict, licence, Modelfile, model card, checksums.

    Args:
        folder: holds ``facts.files`` and ``facts.others``; nothing outside it is written.
        facts: what the texts say.

    Returns:
        Every file to deliver, the GGUF files among them.

    Raises:
        ModelError: the base's tokenizer cannot be read.
        SocratesError: the disk is full.
    """
    write_json(folder / PARITY, facts.parity)
    legal = [Path(shutil.copyfile(file, folder / file.name)) for file in legal_files(facts.base.folder)]
    tokenizer = FolderTokenizer(facts.base.folder)
    names = {kind: file.name for kind, file in facts.files.items()}
    context = int(facts.base.config["max_position_embeddings"])
    text = modelfile(names, facts.main, chat_text(tokenizer), facts.options.system, context)
    write_text(folder / MODELFILE, text)
    write_text(folder / CARD, card_text(facts, tokenizer))
    texts = [folder / PARITY, *legal, folder / MODELFILE, folder / CARD]
    delivered = [*facts.files.values(), *facts.others, *texts]
    known = {fact["file"]: fact["sha256"] for fact in facts.parity["files"].values()}
    return [*delivered, write_sums(folder, delivered, known)]


def rewrite_card(
    folder: Path,
    name: str,
    base: Path,
    adapter: Path | None,
    prompt: PromptOptions,
    run: RunFacts,
    merge_base: str,
) -> bool:
    """Write the model card of files that were delivered before anew, as more is known now; whether it changed.

    Args:
        folder: where they were delivered; its SHA256SUMS changes with the card.
        name, base, adapter, prompt, run, merge_base: as in ``ReleaseFacts``; ``base`` is a folder.
    """
    sums = read_sums(folder)
    parity = json.loads((folder / PARITY).read_text(encoding="utf-8"))
    files = {kind: folder / fact["file"] for kind, fact in parity["files"].items()}
    weights = [folder / file for file in sums if file.endswith(".gguf")]
    others = [file for file in weights if file not in files.values()]
    facts = ReleaseFacts(name, open_base(base), adapter, files, others, parity, prompt, run, merge_base)
    text = card_text(facts, FolderTokenizer(base))
    hashed = sha256(text.encode()).hexdigest()
    if sums.get(CARD) == hashed:
        return False
    # The card is in the list before it is there, and never the other way round (see ``checksums``).
    (folder / CARD).unlink(missing_ok=True)
    write_sums(folder, [folder / file for file in sums], {**sums, CARD: hashed})
    write_text(folder / CARD, text)
    return True
