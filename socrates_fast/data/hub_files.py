"""Files of a dataset on the Hugging Face Hub: what it states of them, and their bytes, resumed and checked.

The files lie in huggingface_hub's cache, in its layout, so that its other tools find them and it finds theirs. The bytes
are fetched here, with huggingface_hub's session, and not by its ``hf_hub_download``: that one (1.33) throws away what it
has of a file when the connection breaks for good or the process ends, compares sizes but no checksums, and takes another
way (Xet) where hf_xet is installed. Files in Xet storage come over HTTP as well.
"""

import fcntl
import hashlib
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar

from socrates_fast.data.hub_errors import reason
from socrates_fast.errors import DataError

WAITS: tuple[float, ...] = (1, 2, 4, 8, 15)
"""Seconds before each new try of a download, after tries in a row that brought no byte."""
BUSY = (408, 425, 429, 500, 502, 503, 504)
"""Answers after which the same may be asked again."""
_HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")

Arrived = Callable[["Stated", int], None]
"""``arrived(file, size)``: so many bytes of the file are here."""
_T = TypeVar("_T")


@dataclass(frozen=True)
class Stated:
    """A file as the Hub states it.

    Attributes:
        name: path in the repository.
        size: bytes.
        hash: 64 digits, the sha256 of a file in large-file storage; else 40, git's sha1 of it.
    """

    name: str
    size: int
    hash: str

    def digest(self, path: Path) -> str:
        """What ``hash`` would be if ``path`` were the file."""
        with path.open("rb") as file:
            if len(self.hash) == 64:
                return hashlib.file_digest(file, "sha256").hexdigest()
            head = f"blob {path.stat().st_size}\0".encode()
            return hashlib.sha1(head + file.read(), usedforsecurity=False).hexdigest()

    @property
    def kind(self) -> str:
        """Name of the hash."""
        return "sha256" if len(self.hash) == 64 else "git's sha1"


class Dataset:
    """A dataset at a commit: its place on the Hub (``HF_ENDPOINT``) and its folder in the cache (``HF_HUB_CACHE``).

    Args:
        repository: OWNER/NAME.
        revision: a commit.
    """

    def __init__(self, repository: str, revision: str) -> None:
        from huggingface_hub import constants

        self.repository, self.revision = repository, revision
        self.endpoint = (os.environ.get("HF_ENDPOINT") or constants.ENDPOINT).rstrip("/")
        cache = Path(os.environ.get("HF_HUB_CACHE") or constants.HF_HUB_CACHE).expanduser()
        self.folder = cache / f"datasets--{repository.replace('/', '--')}"

    def pointer(self, name: str) -> Path:
        """Where a file of this commit lies once it is here."""
        return self.folder / "snapshots" / self.revision / name

    def _blob(self, file: Stated) -> Path:
        return self.folder / "blobs" / file.hash

    def _partial(self, file: Stated) -> Path:
        return self.folder / "blobs" / f"{file.hash}.incomplete"

    def arrived(self, file: Stated) -> int:
        """Bytes of a file that an earlier download left behind."""
        partial = self._partial(file)
        return partial.stat().st_size if partial.exists() else 0

    def cached(self) -> dict[str, Stated]:
        """The files in the cache by name: their links are named after their hashes, so no network is needed."""
        snapshot = self.pointer("")
        links = (path for path in sorted(snapshot.rglob("*")) if path.is_symlink() and path.is_file())
        files = (
            Stated(link.relative_to(snapshot).as_posix(), link.stat().st_size, link.readlink().name)
            for link in links
        )
        return {file.name: file for file in files if _HASH.fullmatch(file.hash)}

    def listing(self) -> tuple[str, dict[str, Stated]]:
        """The commit that the revision is, and all files by name, asked of the Hub.

        Raises:
            DataError: the Hub cannot be reached, does not know it, or does not give it to this user.
        """
        import httpx
        from huggingface_hub import DatasetInfo, HfApi, constants
        from huggingface_hub.errors import HFValidationError

        api = HfApi(endpoint=self.endpoint)

        def ask() -> DatasetInfo:
            seconds = constants.HF_HUB_ETAG_TIMEOUT
            return api.dataset_info(
                self.repository, revision=self.revision, files_metadata=True, timeout=seconds
            )

        with self._explained(f"{self.repository} at {self.revision}"):
            try:
                info = _patiently(ask, WAITS[:2])
            except HFValidationError as error:
                raise DataError(f"data.socsci210.repository: {error}") from error
            except httpx.HTTPError:
                raise
            except (ValueError, KeyError, TypeError) as error:
                # It takes the answer apart unchecked.
                raise DataError(f"{self.endpoint} does not answer as a Hub; check HF_ENDPOINT") from error
        found = {}
        for entry in info.siblings or []:
            stated = entry.lfs.sha256 if entry.lfs else entry.blob_id
            if entry.size is None or stated is None or _HASH.fullmatch(stated) is None:
                raise DataError(f"{self.endpoint} states no size or no hash of {entry.rfilename}")
            found[entry.rfilename] = Stated(entry.rfilename, entry.size, stated)
        return str(info.sha), found

    @contextmanager
    def locked(self, announce: Callable[[str], None]) -> Iterator[None]:
        """Hold the dataset's folder, so that two processes do not write one file."""
        path = self.folder.parent / ".locks" / self.folder.name / "socrates-fast.lock"
        with self._explained(self.repository):
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = path.open("w")
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                announce(f"another process downloads {self.repository}: waiting for it")
                fcntl.flock(lock, fcntl.LOCK_EX)
            except OSError:  # a file system without locks: then the checksums tell
                announce(f"{self.folder} cannot be locked: do not download twice at once")
            yield

    def check_space(self, files: list[Stated]) -> None:
        """Refuse to begin what the disk cannot hold.

        Raises:
            DataError: the disk is too small.
        """
        needed = sum(max(file.size - self.arrived(file), 0) for file in files)
        place = next(path for path in (self.folder, *self.folder.parents) if path.exists())
        free = shutil.disk_usage(place).free
        if needed > free:
            raise DataError(
                f"{self.repository}: {len(files)} files of {amount(needed)} are to be downloaded to {self.folder}, where "
                f"{amount(free)} are free; free some, or set HF_HOME to a folder on a larger disk"
            )

    def adopt(self, file: Stated) -> bool:
        """Whether the file lies in the cache already, of another commit or by another process; then it is this one's, too."""
        blob = self._blob(file)
        with self._explained(f"{self.repository}: {file.name}"):
            found = blob.is_file() and file.digest(blob) == file.hash
            if found:
                self._link(file, blob)
        return found

    def fetch(self, file: Stated, arrived: Arrived, announce: Callable[[str], None]) -> Path:
        """Download a file, going on where an earlier download stopped, and check it.

        Raises:
            DataError: the Hub refuses, the connection breaks again and again, the disk is full, or the file that
                arrives is twice not the one that is stated.
        """
        blob, partial = self._blob(file), self._partial(file)
        with self._explained(f"{self.repository}: {file.name}"):
            blob.parent.mkdir(parents=True, exist_ok=True)
            for again in (True, False):
                self._download(file, partial, arrived)
                found, size = file.digest(partial), partial.stat().st_size
                if found == file.hash:
                    return self._link(file, partial.replace(blob))
                partial.unlink()
                if again:
                    announce(f"{file.name}: what arrived has a wrong {file.kind}: downloading it once more")
        raise DataError(
            f"{self.repository}: {file.name}: expected {file.kind} {file.hash} ({file.size} bytes), found {found} ({size} "
            f"bytes) in what arrives from {self.endpoint}; it was deleted. A proxy or a mirror may change files; try again "
            "later or from elsewhere"
        )

    def _link(self, file: Stated, blob: Path) -> Path:
        pointer = self.pointer(file.name)
        pointer.parent.mkdir(parents=True, exist_ok=True)
        pointer.unlink(missing_ok=True)
        try:
            pointer.symlink_to(os.path.relpath(blob, pointer.parent))
        except OSError:  # no symlinks here: huggingface_hub, too, then keeps the file itself
            blob.replace(pointer)
        return pointer

    def _download(self, file: Stated, partial: Path, arrived: Arrived) -> None:
        from huggingface_hub import hf_hub_url

        url = hf_hub_url(
            self.repository,
            file.name,
            repo_type="dataset",
            revision=self.revision,
            endpoint=self.endpoint,
        )
        with partial.open("ab") as target:
            before = -1
            while target.tell() not in (file.size, before):  # a connection may end early without an error
                before = target.tell()
                _patiently(lambda: _append(url, target, lambda size: arrived(file, size)), WAITS, target.tell)

    @contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        """Turns what huggingface_hub and httpx raise into what a person can do about it."""
        import httpx
        from huggingface_hub import errors

        try:
            yield
        except (httpx.HTTPError, httpx.InvalidURL, errors.OfflineModeIsEnabled) as error:
            page = f"{self.endpoint}/datasets/{self.repository}"
            words = reason(error, page, "data.socsci210.repository", "data.socsci210.revision")
            raise DataError(f"{what}: {words}") from error
        except OSError as error:
            raise DataError(f"{what}: cannot write to {self.folder}: {error.strerror or error}") from error


def _append(url: str, target: IO[bytes], arrived: Callable[[int], None]) -> None:
    """Append what ``target`` lacks of the file at ``url``; from the beginning if the server knows no ranges."""
    from huggingface_hub import constants, get_session, get_token, hf_raise_for_status

    headers = {"Accept-Encoding": "identity"}  # a range of compressed bytes is of no use
    token = None if constants.HF_HUB_DISABLE_IMPLICIT_TOKEN else get_token()
    if token:  # httpx does not pass it on to the store that the Hub redirects to
        headers["Authorization"] = f"Bearer {token}"
    if target.tell():
        headers["Range"] = f"bytes={target.tell()}-"
    session = get_session()
    with session.stream("GET", url, headers=headers, timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT) as response:
        if response.status_code == 416:  # no more than this is there
            return
        hf_raise_for_status(response)
        if response.status_code != 206:
            target.seek(0)
            target.truncate()
        for chunk in response.iter_bytes():
            target.write(chunk)
            arrived(target.tell())


def _patiently(
    action: Callable[[], _T], waits: tuple[float, ...], reached: Callable[[], int] = lambda: 0
) -> _T:
    """Do ``action``, again after each of ``waits`` when the connection fails; from the first wait where it got on."""
    import httpx

    failures = 0
    while True:
        before = reached()
        try:
            return action()
        except httpx.HTTPError as error:
            status = getattr(getattr(error, "response", None), "status_code", None)
            if not isinstance(error, httpx.TransportError) and status not in BUSY:
                raise
            failures = 0 if reached() > before else failures
            if failures == len(waits):
                raise
            time.sleep(waits[failures])
            failures += 1


def amount(size: float) -> str:
    """Bytes in words, like 85 MB or 1.45 GB."""
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if size >= unit:
            return f"{size / unit:.3g} {name}"
    return f"{size:.0f} bytes"
