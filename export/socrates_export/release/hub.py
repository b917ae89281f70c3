"""Uploads a release to the Hugging Face Hub (or to another that ``HF_ENDPOINT`` names), as one commit.

The token is the one that huggingface_hub finds: HF_TOKEN, or what ``hf auth login`` has stored. What has arrived is not
sent again when an upload that was cut off is repeated: huggingface_hub asks the Hub which contents it has.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from socrates_export.progress import Progress
from socrates_export.release.checksums import SUMS, read_sums
from socrates_fast.errors import ExportError

LOGIN = "log in with `hf auth login`, or set HF_TOKEN to a token with write access"


def check_push(repository: str) -> None:
    """Refuse now rather than after hours of exporting.

    Raises:
        ExportError: ``repository`` is not ``user/name``, there is no token, or the Hub is switched off.
    """
    from huggingface_hub import constants, get_token
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils._validators import validate_repo_id

    try:
        validate_repo_id(repository)
    except HFValidationError as error:
        raise ExportError(f"--push {repository}: {error}") from error
    if repository.count("/") != 1:
        raise ExportError(f"--push {repository}: name the repository as user/name")
    if constants.HF_HUB_OFFLINE:
        raise ExportError(f"--push {repository}: HF_HUB_OFFLINE is set, so nothing can be uploaded; unset it")
    if get_token() is None:
        raise ExportError(f"--push {repository}: nobody is logged in; {LOGIN}")


def push(folder: Path, repository: str, public: bool = False, progress: Progress | None = None) -> str:
    """Upload a release to ``repository``, which is made if it is not there; the address of the commit.

    Args:
        folder: where an export was delivered; only SHA256SUMS and what it lists is uploaded.
        repository: ``user/name``.
        public: whether everybody may see it; one that is private stays so.
        progress: told in words what is done.

    Raises:
        ExportError: the Hub refuses, the connection fails, or the repository is public and ``public`` is not asked for.
    """
    from huggingface_hub import CommitOperationAdd, HfApi

    files = _delivered(folder)
    tell = progress or (lambda _: None)
    api = HfApi()
    with _explained(repository):
        api.create_repo(repository, private=not public, exist_ok=True)
        private = bool(api.model_info(repository).private)
        if not private and not public:
            raise ExportError(f"{repository} is public; add --public if everybody may see what is uploaded")
        tell(f"uploading {len(files)} files to {repository} ({'private' if private else 'public'})")
        operations = [CommitOperationAdd(file.name, file) for file in files]
        commit = api.create_commit(repository, operations, commit_message="Export by socrates-fast")
    return str(commit.commit_url)


def _delivered(folder: Path) -> list[Path]:
    files = [folder / name for name in (*read_sums(folder), SUMS)]
    missing = [file.name for file in files if not file.is_file()]
    if missing or len(files) == 1:
        raise ExportError(
            f"{folder}: not a whole export ({', '.join(missing) or SUMS}), so nothing is uploaded"
        )
    return files


@contextmanager
def _explained(repository: str) -> Iterator[None]:
    """Turns what huggingface_hub raises into what a person can do about it."""
    import httpx

    try:
        yield
    except (httpx.HTTPError, OSError, RuntimeError, ValueError) as error:
        raise ExportError(f"{repository}: {_reason(error)}") from error


def _reason(error: BaseException) -> str:
    chain: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None:
        chain.append(cause)
        cause = cause.__cause__
    statuses = [getattr(getattr(link, "response", None), "status_code", None) for link in chain]
    status = next((code for code in statuses if code is not None), None)
    if status in _ADVICE:
        return _ADVICE[status]
    said = next(
        (line for link in chain for line in str(link).splitlines() if line.strip()), type(error).__name__
    )
    if status is not None:
        return f"the Hub refused ({status}): {said}"
    return (
        f"the upload failed: {chain[-1] or said}. The files are written; run the same command again, and what has "
        "arrived is not sent again (a Hub without Xet storage needs HF_HUB_DISABLE_XET=1)"
    )


_ADVICE = {
    401: f"the Hub does not know this token, or the repository is another's; {LOGIN}",
    403: "this token may not write there; give it write access, or name a repository of your own",
    404: "the Hub has no such user, organisation or repository; check the name",
    413: "a file is larger than the Hub takes",
    429: "the Hub asks to wait: too many requests; try again later",
}
