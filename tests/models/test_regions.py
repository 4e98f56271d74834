"""Cutting regions is affine_grid and grid_sample, in values and gradients."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from resight.models.attention.regions import cut_regions


def sampled(maps: Tensor, centres: Tensor, size: tuple[int, int]) -> Tensor:
    """The definition: Eq. 7 as torch's spatial transformer."""
    batch, channels, height, width = maps.shape
    regions = centres.shape[1]
    theta = maps.new_zeros(batch, regions, 2, 2)
    theta[..., 0, 0], theta[..., 1, 1] = size[1] / width, size[0] / height
    theta = torch.cat([theta, centres.unsqueeze(-1)], dim=-1).flatten(0, 1)
    grid = functional.affine_grid(theta, [batch * regions, channels, *size], align_corners=False)
    copies = maps.repeat_interleave(regions, 0)
    return functional.grid_sample(copies, grid, padding_mode="zeros", align_corners=False)


def random_case(shape: tuple[int, int, int, int], regions: int) -> tuple[Tensor, Tensor]:
    maps = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    centres = torch.empty(shape[0], regions, 2, dtype=torch.float64).uniform_(-1, 1).requires_grad_()
    return maps, centres


@pytest.mark.parametrize(
    ("extent", "size"), [((80, 32), (24, 28)), ((40, 16), (12, 14)), ((20, 8), (6, 7)), ((13, 9), (4, 8))]
)
def test_values_and_gradients_are_those_of_grid_sample(
    extent: tuple[int, int], size: tuple[int, int]
) -> None:
    maps, centres = random_case((3, 5, *extent), 4)
    ours, theirs = cut_regions(maps, centres, size), sampled(maps, centres, size)
    assert ours.shape == (12, 5, *size)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-11)
    upstream = torch.randn_like(ours)
    for mine, other in zip(
        torch.autograd.grad(ours, (maps, centres), upstream),
        torch.autograd.grad(theirs, (maps, centres), upstream),
        strict=True,
    ):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-9)
        assert mine.abs().max() > 0


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 12), st.integers(2, 12), st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**31))
def test_any_size_of_map_and_region(height: int, width: int, tall: int, wide: int, seed: int) -> None:
    torch.manual_seed(seed)
    maps, centres = random_case((2, 3, height, width), 2)
    ours, theirs = cut_regions(maps, centres, (tall, wide)), sampled(maps, centres, (tall, wide))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-11)


def test_gradients_agree_with_finite_differences() -> None:
    maps, centres = random_case((2, 2, 6, 5), 2)
    assert torch.autograd.gradcheck(lambda m, c: cut_regions(m, c, (3, 4)), (maps, centres))


def test_a_region_at_the_middle_is_a_plain_crop() -> None:
    maps = torch.randn(1, 2, 10, 8)
    cut = cut_regions(maps, torch.zeros(1, 1, 2), (4, 6))
    assert torch.equal(cut, maps[:, :, 3:7, 1:7])


def test_outside_the_map_is_zero() -> None:
    maps = torch.ones(1, 1, 10, 8)
    top_left, bottom_right = cut_regions(maps, torch.tensor([[[-1.0, -1.0], [1.0, 1.0]]]), (4, 4))
    expected = torch.zeros(4, 4)
    expected[2:, 2:] = 1
    assert torch.equal(top_left[0], expected)
    assert torch.equal(bottom_right[0], expected.flip(0, 1))


def test_the_regions_of_a_map_follow_one_another() -> None:
    maps = torch.arange(2.0).view(2, 1, 1, 1).expand(2, 1, 6, 6)
    cut = cut_regions(maps, torch.zeros(2, 3, 2), (2, 2))
    assert cut[:, 0, 0, 0].tolist() == [0, 0, 0, 1, 1, 1]


def test_memory_order_does_not_matter_and_the_result_is_channels_last() -> None:
    maps, centres = torch.randn(2, 4, 8, 6), torch.zeros(2, 2, 2)
    plain = cut_regions(maps, centres, (3, 4))
    last = cut_regions(maps.contiguous(memory_format=torch.channels_last), centres, (3, 4))
    assert torch.equal(plain, last)
    assert last.is_contiguous(memory_format=torch.channels_last)


def test_bfloat16_maps_with_float32_centres() -> None:
    maps, centres = torch.randn(2, 4, 8, 6), torch.rand(2, 2, 2) - 0.5
    low = cut_regions(maps.bfloat16(), centres, (3, 4))
    assert low.dtype == torch.bfloat16
    torch.testing.assert_close(low.float(), cut_regions(maps, centres, (3, 4)), rtol=0.02, atol=0.03)


def test_centres_that_are_not_numbers_read_nothing_out_of_bounds() -> None:
    cut = cut_regions(torch.ones(1, 1, 4, 4), torch.full((1, 1, 2), torch.nan), (2, 2))
    assert cut.isnan().all()
