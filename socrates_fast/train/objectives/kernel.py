"""TRL's loss where its own kernel cannot run.

TRL 1.15 computes log probabilities with a Triton kernel that does not write down all logits. Triton is for GPUs; without
it TRL has no loss at all. The same numbers come from plain torch here, for the supervised positions of a batch.
"""

from typing import Any


class PlainLogProbabilities:
    """Stands in for TRL's autograd function; what it is called with and gives back are TRL's."""

    @staticmethod
    def apply(
        hidden: Any, weight: Any, bias: Any, labels: Any, temperature: float, _chunk: int,
        softcap: float | None, scale: float, _outputs: tuple[str, ...],
    ) -> tuple[Any, ...]:  # fmt: skip
        """Per label: its log probability, the entropy, nothing, the mean logit, and whether the label is likeliest."""
        import torch

        logits = torch.nn.functional.linear(hidden.to(weight.dtype), weight, bias).float() * scale
        if softcap is not None:
            logits = torch.tanh(logits / softcap) * softcap
        logs = torch.log_softmax(logits / temperature, dim=-1)
        with torch.no_grad():
            entropy = -(logs.exp() * logs).sum(-1)
            likeliest = logs.argmax(-1) == labels
        return logs.gather(-1, labels[:, None])[:, 0], entropy, None, logits.detach().mean(-1), likeliest


def ensure_loss_kernel() -> None:
    """Give TRL the plain loss if it has none of its own; nothing changes on a machine with Triton."""
    import trl.trainer.utils as of_trl

    if of_trl._ChunkedLogProbFunction is None:
        of_trl._ChunkedLogProbFunction = PlainLogProbabilities
