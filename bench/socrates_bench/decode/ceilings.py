"""The best that a model's speed could be on this machine: what a token costs, over what the machine gives at best."""

from dataclasses import dataclass, field
from math import prod
from types import TracebackType
from typing import Self

from socrates_bench.children import Child
from socrates_bench.record import Ceiling
from socrates_fast.infer.header import Header
from socrates_fast.infer.memory import kv_bytes_per_token, layer_bytes

UNIT = "tokens/s"
_BLAS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


def bytes_per_token(header: Header, n_gen: int) -> float:
    """Bytes that generating a token reads, mean over ``n_gen`` of them into an empty cache.

    All weights but the embedding's other rows (a tied one is the output matrix and is read whole), and the cache's
    keys and values of the tokens so far.
    """
    layers, output = layer_bytes(header)
    return sum(layers) + output + kv_bytes_per_token(header) * (n_gen + 1) / 2


def operations_per_token(header: Header, n_prompt: int) -> float:
    """Multiplications and additions of a prompt's token: two for each number of the matrices it is multiplied with.

    The output matrix counts once for the whole prompt, whose last token only is asked for. Attention between tokens
    is left out, so that the ceiling is a little too high.
    """
    matrices = {tensor.name: prod(tensor.shape) for tensor in header.tensors if len(tensor.shape) == 2}
    output = matrices.get("output.weight", matrices.get("token_embd.weight", 0))
    blocks = sum(count for name, count in matrices.items() if name.startswith("blk."))
    return 2 * (blocks + output / n_prompt)


def is_dense(header: Header) -> bool:
    """Whether every token goes through all weights; of a mixture of experts a part is read, which nobody knows."""
    return not header.metadata.get(f"{header.architecture}.expert_count")


@dataclass
class Machine:
    """Measures the machine in a process of its own; a context manager that ends it.

    Attributes:
        threads: CPU threads.
        read: bytes/s of each pass so far.
        multiply: operations/s of each pass so far.
    """

    threads: int
    read: list[float] = field(default_factory=list)
    multiply: list[float] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._child = Child(
            "socrates_bench.decode.machine", dict.fromkeys(_BLAS, str(self.threads)), threads=self.threads
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._child.close()

    def measure(self) -> None:
        """Some more passes: the best of all counts, because other programs only ever slow one down."""
        found = self._child.ask()
        self.read += found["read"]
        self.multiply += found["multiply"]

    def generation(self, header: Header, n_gen: int) -> Ceiling:
        """Of generated tokens."""
        cost, best = bytes_per_token(header, n_gen), max(self.read)
        how = (
            f"{best / 1e9:.1f} GB/s read by numpy on {self.threads} threads from {self._child.ready['array_bytes']} bytes "
            f"(best of {len(self.read)} passes) / {cost / 1e6:.1f} MB that a token reads; a cache may give more"
        )
        return Ceiling(value=best / cost, unit=UNIT, how=how)

    def prompt(self, header: Header, n_prompt: int) -> Ceiling:
        """Of a prompt's tokens."""
        cost, best = operations_per_token(header, n_prompt), max(self.multiply)
        how = (
            f"{best / 1e9:.0f} GFLOP/s of a float32 product by numpy's BLAS on {self.threads} threads (best of "
            f"{len(self.multiply)} passes) / {cost / 1e6:.0f} MFLOP of a token; integer kernels may give more"
        )
        return Ceiling(value=best / cost, unit=UNIT, how=how)
