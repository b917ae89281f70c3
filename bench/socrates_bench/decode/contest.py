"""Those who are measured on one file: llama.cpp as ours uses it, and the peers. They take turns, so that noise falls on all."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Any, Self

from socrates_bench.children import Child
from socrates_bench.decode.subject import Subject
from socrates_bench.machine import gpus
from socrates_bench.peers.known import Peer, open_peer, reason_to_skip
from socrates_bench.record import Model
from socrates_fast.errors import SocratesError

OURS = "llama.cpp"
_REASON = 300
"""Characters of an ended process's last words that are kept."""
Ask = Callable[[str, int], dict[str, Any]]


@dataclass
class Contest:
    """Opens the processes of all who take part; a context manager that ends them.

    Attributes:
        openers: start a process, by who it is; ours first.
        models: what each of them computes with.
        skipped: the peers that cannot take part, and why.
        children: the processes, once ``gather`` has started them.
    """

    openers: dict[str, Callable[[], Child]]
    models: dict[str, Model]
    skipped: dict[str, str] = field(default_factory=dict)
    children: dict[str, Child] = field(default_factory=dict)
    _stack: ExitStack = field(default_factory=ExitStack)

    @classmethod
    def of(cls, subject: Subject, peers: Sequence[Peer], context: int, threads: int, gpu_layers: int) -> Self:
        """Everyone for a file; a peer that cannot take part is left out, and stderr says why.

        Args:
            subject: the file.
            peers: asked for.
            context: tokens that a peer must hold.
            threads: CPU threads of each.
            gpu_layers: layers on the GPU, -1 for all.
        """
        shared: dict[str, Any] = {"threads": threads, "gpu_layers": gpu_layers}
        ours = partial(Child, "socrates_bench.decode.llama", path=str(subject.path), **shared)
        made = cls({OURS: ours}, {OURS: subject.model})
        on_gpu = gpu_layers != 0 and bool(gpus())
        for peer in peers:
            reason = reason_to_skip(peer, subject.folder, on_gpu)
            if reason:
                made._skip(peer.title, reason)
            else:
                made.models[peer.title] = subject.model_for(peer.dtype)
                made.openers[peer.title] = partial(
                    open_peer, peer, subject.path, subject.folder, context, **shared
                )
        return made

    def gather(self) -> None:
        """Start everyone's process; a peer whose process cannot load its model is left out.

        Raises:
            SocratesError: ours cannot load it.
        """
        for who, opener in list(self.openers.items()):
            with self._or_skipped(who):
                self.children[who] = self._stack.enter_context(opener())

    def turns(self, ask: Ask, repeats: int) -> dict[str, list[dict[str, Any]]]:
        """Ask everyone ``repeats`` times, one after the other each time; the answers by who gave them, ours first.

        A peer whose process ends meanwhile is left out from then on, and its answers with it.

        Args:
            ask: is given who is asked, and the number of the turn.
            repeats: how many turns.

        Raises:
            SocratesError: our process ended.
        """
        found: dict[str, list[dict[str, Any]]] = {who: [] for who in self.openers}
        for turn in range(repeats):
            for who in list(self.openers):
                with self._or_skipped(who):
                    found[who].append(ask(who, turn))
        return {who: answers for who, answers in found.items() if who in self.openers}

    @contextmanager
    def _or_skipped(self, who: str) -> Iterator[None]:
        try:
            yield
        except SocratesError as error:
            if who == OURS:
                raise
            self._skip(who, " ".join(str(error).split())[-_REASON:])

    def _skip(self, who: str, reason: str) -> None:
        """Leave one out from now on."""
        print(f"skipped {who}: {reason}", file=sys.stderr)
        self.openers.pop(who, None)
        self.children.pop(who, None)  # its process is ended with the others
        self.skipped[who] = reason

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
