"""Training on several processes: each computes its loss on the crops of all."""

from dataclasses import replace

import torch
from torch import Tensor, distributed

from resight.errors import UserError
from resight.models.representation import Branch, Representation


def gather(representation: Representation, persons: Tensor) -> tuple[Representation, Tensor]:
    """Join the branches and persons of all processes, in the order of their ranks (no change for one).

    Gradients go to this process's own crops, multiplied by the number of processes, because
    DistributedDataParallel averages over processes: the result is the gradient of one process with the joined
    batch. Attention, regions and feature maps stay this process's own: terms on them are means over crops,
    which that averaging joins.

    Args:
        representation: the model's output for this process's B crops.
        persons: int64 [B].

    Raises:
        UserError: the processes have batches of unequal size; raised in each of them (means could not be
            joined).
    """
    if ranks() == 1:
        return representation, persons
    sizes = torch.cat(all_gathered(torch.tensor([len(persons)]))).tolist()  # on the CPU: waits for no GPU
    if len(set(sizes)) > 1:
        raise UserError(
            f"All processes need batches of one size; these have {', '.join(map(str, sizes))} crops. Drop "
            "the last, smaller batch of an epoch."
        )
    branches = {
        name: Branch(_joined(branch.embedding), None if branch.logits is None else _joined(branch.logits))
        for name, branch in representation.branches.items()
    }
    return replace(representation, branches=branches), torch.cat(all_gathered(persons))


def mean_over_ranks(losses: Tensor) -> Tensor:
    """Return losses [N] averaged over all processes, with the gradient of this process's losses."""
    if ranks() == 1:
        return losses
    own = losses.detach()
    mean = own / ranks()
    distributed.all_reduce(mean)
    return losses + (mean - own)


def ranks() -> int:
    """Return the number of processes that train together."""
    together = distributed.is_available() and distributed.is_initialized()
    return distributed.get_world_size() if together else 1


def _joined(own: Tensor) -> Tensor:
    parts = all_gathered(own.detach())
    parts[distributed.get_rank()] = own
    joined = torch.cat(parts)
    if joined.requires_grad:
        joined.register_hook(lambda gradient: gradient * ranks())
    return joined


def all_gathered(own: Tensor) -> list[Tensor]:
    """Return the tensors of all processes, in the order of their ranks."""
    own = own.contiguous()
    parts = [torch.empty_like(own) for _ in range(ranks())]
    distributed.all_gather(parts, own)
    return parts
