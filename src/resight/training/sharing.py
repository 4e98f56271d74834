"""Training by several processes: gradients are averaged, batches are normalised together."""

from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from resight.losses.gather import all_gathered
from resight.models.network import Network


def join_batch_norms(model: Network, device: torch.device) -> None:
    """Let every batch normalisation of the model use the statistics of the joined batch of all processes."""
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if isinstance(child, _BatchNorm):
                convert = JoinedBatchNorm if device.type == "cpu" else nn.SyncBatchNorm.convert_sync_batchnorm
                setattr(parent, name, convert(child))


def shared(model: Network, untrained: Collection[str]) -> DistributedDataParallel:
    """Return the model for a stage's forward passes: backward passes average gradients over all processes.

    Args:
        model: the same in all processes, with joined batch normalisation.
        untrained: names of parameters without a gradient in the stage, for which nothing is to be awaited.
    """
    buffers = [name for name, _ in model.named_buffers()]  # the same everywhere: need not be broadcast
    DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(model, [*untrained, *buffers])
    device = next(model.parameters()).device
    return DistributedDataParallel(model, device_ids=None if device.type == "cpu" else [device])


class JoinedBatchNorm(_BatchNorm):
    """Batch normalisation over the batches of all processes on a CPU, where PyTorch's own refuses to.

    Args:
        norm: layer whose parameters and statistics it takes over.
    """

    def __init__(self, norm: _BatchNorm) -> None:
        super().__init__(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
        self._parameters, self._buffers = norm._parameters, norm._buffers

    def forward(self, input: Tensor) -> Tensor:
        """Return [B, C, ...] for features [B, C, ...]; all processes need batches of one size."""
        if not self.training:
            statistics = self.running_mean, self.running_var
            return functional.batch_norm(input, *statistics, self.weight, self.bias, eps=self.eps)
        positions = [0, *range(2, input.dim())]
        features = input.to(torch.promote_types(input.dtype, torch.float32))
        own = torch.stack(torch.var_mean(features, positions, correction=0))
        all_gathered: Tensor = _Everyones.apply(own)  # type: ignore[no-untyped-call]  # [processes, 2, C]
        variances, means = all_gathered.unbind(1)
        mean = means.mean(0)
        variance = (variances + (means - mean).square()).mean(0)
        self._update(mean.detach(), variance.detach(), len(means) * input.numel() // input.shape[1])
        scale = (variance + self.eps).rsqrt()
        scale = scale if self.weight is None else scale * self.weight
        offset = -mean * scale if self.bias is None else self.bias - mean * scale
        shape = (1, -1, *(1 for _ in positions[1:]))
        return torch.addcmul(offset.view(shape), features, scale.view(shape)).to(input.dtype)

    def _update(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """Move the running statistics towards those of ``count`` values of each channel."""
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked += 1
        momentum = 1 / int(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(variance * (count / (count - 1)), momentum)


class _Everyones(torch.autograd.Function):
    """The values of all processes, [processes, ...]; gradients return to the process that a value is from."""

    @staticmethod
    def forward(context: Any, own: Tensor) -> Tensor:
        return torch.stack(all_gathered(own))

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        total = gradient.contiguous()
        distributed.all_reduce(total)
        return total[distributed.get_rank()]
