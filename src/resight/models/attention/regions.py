"""Cutting regions out of feature maps, at learned centres."""

import torch
from torch import Tensor
from torch.nn import functional

from resight.device import full_precision


def cut_regions(maps: Tensor, centres: Tensor, size: tuple[int, int]) -> Tensor:
    """Cut T regions out of each map by bilinear interpolation, with zeros outside the map.

    The same as ``affine_grid`` and ``grid_sample`` (``align_corners=False``) with theta = [[w/W, 0, x], [0,
    h/H, y]], but faster: neighbouring samples are exactly one pixel apart, so that a region is a window of
    whole pixels, one larger than the region, blended with itself shifted by one row and one column.

    Args:
        maps: [B, C, H, W].
        centres: [B, T, 2], (x, y) of the regions' centres; -1 and 1 are the edges of the map.
        size: (h, w) of a region in pixels of the map.

    Returns:
        [B * T, C, h, w] in channels_last memory, the T regions of a map in order; differentiable in ``maps``
        and in ``centres``.
    """
    batch, channels, *extent = maps.shape
    regions = centres.shape[1]
    height, width = extent
    first, blend = [], []
    for axis, (whole, part) in enumerate(((height, size[0]), (width, size[1]))):
        corner = (centres[..., 1 - axis] * whole + (whole - part)) / 2
        lower = corner.detach().floor()
        blend.append((corner - lower).to(maps.dtype).view(-1, 1, 1, 1))
        first.append(lower.long().unsqueeze(-1) + torch.arange(part + 1, device=maps.device))
    rows, columns = first[0].unsqueeze(-1), first[1].unsqueeze(-2)
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    image = torch.arange(batch, device=maps.device).view(-1, 1, 1, 1)
    pixels = maps.permute(0, 2, 3, 1).reshape(-1, channels)
    pixels = torch.cat([pixels, pixels.new_zeros(1, channels)])  # the last one is outside the map
    index = torch.where(inside, (image * height + rows) * width + columns, batch * height * width)
    window = _Gather.apply(pixels, index.view(-1))  # type: ignore[no-untyped-call]
    window = window.view(batch * regions, size[0] + 1, size[1] + 1, channels)
    window = torch.lerp(window[:, :-1], window[:, 1:], blend[0])
    return torch.lerp(window[:, :, :-1], window[:, :, 1:], blend[1]).permute(0, 3, 1, 2)


def resample_regions(
    maps: Tensor, centres: Tensor, share: tuple[float, float], size: tuple[int, int]
) -> Tensor:
    """Sample T regions of each map at as many places as the map has pixels, and resize them to ``size``.

    As torchreid's HA-CNN does: ``cut_regions`` is faster, and samples each pixel once.

    Args:
        maps: [B, C, H, W].
        centres: [B, T, 2], (x, y) of the regions' centres; -1 and 1 are the edges of the map.
        share: of the map's height and width that a region covers.
        size: (h, w) of the result.

    Returns:
        [B * T, C, h, w], the T regions of a map in order.
    """
    height, width = maps.shape[2:]
    rows, columns = (
        reach * ((2 * torch.arange(side, device=maps.device) + 1) / side - 1)
        for reach, side in zip(share, (height, width), strict=True)
    )
    with full_precision(maps.device):
        place = centres.float().flatten(0, 1)[:, None, None]
        grid = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=2) + place
        several = maps.float().unsqueeze(1).expand(-1, centres.shape[1], -1, -1, -1).flatten(0, 1)
        sampled = functional.grid_sample(several, grid, align_corners=False)
        resized = functional.interpolate(sampled, size, mode="bilinear", align_corners=True)
    return resized.to(maps.dtype)


class _Gather(torch.autograd.Function):
    """``index_select`` of rows with a ``scatter_add`` as gradient, faster than torch's ``index_add``."""

    @staticmethod
    def forward(ctx, rows, index):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(index)
        ctx.count = rows.shape[0]
        return rows.index_select(0, index)

    @staticmethod
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        (index,) = ctx.saved_tensors
        rows = gradient.new_zeros(ctx.count, gradient.shape[1])
        return rows.scatter_add_(0, index.unsqueeze(1).expand_as(gradient), gradient), None
