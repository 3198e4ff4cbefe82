"""What `vssl.kernels` computes, by torch's operations on any device, equal to the last bit.

This relies on: float32 and float64 operations round as IEEE 754 says, each on its own (none is
fused in torch's eager mode, and numbers below the normal range are kept), and a division is by a
tensor (CUDA multiplies by the inverse of a number of the host). Sums are of whole numbers, or of
what float64 adds exactly.
"""

from __future__ import annotations

import torch

from vssl.core.arrays import Index
from vssl.kernels import Places

_SIGNLESS = 0x7FFFFFFF
_LEAST = -(2**31)
_GATHER = 0x0102040810204080  # times eight bytes of 0 or 1: the highest byte has them as bits


def bilinear(maps: torch.Tensor, rows: Places, columns: Places, fused: bool) -> torch.Tensor:
    """See `vssl.kernels.bilinear`: `[N, H, W]` of maps `[N, h, w]`."""

    def between(cells: torch.Tensor, places: Places, dim: int) -> torch.Tensor:
        before, behind, near, far = (torch.from_numpy(each).to(cells.device) for each in places)
        one, other = cells.index_select(dim, before), cells.index_select(dim, behind)
        shape = (-1, 1) if dim == 1 else (-1,)
        near, far = near.view(shape), far.view(shape)
        if fused:
            return _multiply_add(other - one, far, one)
        return _multiply_add(one, near, other * far)

    return between(between(maps, columns, 2), rows, 1)


def _multiply_add(a: torch.Tensor, b: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    """`a * b + c` of float32, rounded once."""
    product, added = a.double() * b.double(), c.double()  # the product is exact
    total = product + added
    part = total - product
    lost = (product - (total - part)) + (added - part)
    # rounded to odd, since it is rounded again (Boldo and Melquiond, 2008)
    even = (total.view(torch.int64) & 1) == 0
    toward = torch.nextafter(total, lost.sign() * torch.inf)
    return torch.where(even & (lost.abs() > 0), toward, total).float()


def pack_above(maps: torch.Tensor, thresholds: torch.Tensor) -> torch.Tensor:
    """See `vssl.kernels.pack_above`: `[T, N, W]` int64 of maps `[N, P]`."""
    count, pixels = maps.shape
    words = -(-pixels // 64)
    masks = torch.empty(len(thresholds), count, words, dtype=torch.int64, device=maps.device)
    marked = torch.zeros(count, words * 64, dtype=torch.bool, device=maps.device)
    for each, levels in zip(masks, thresholds, strict=True):
        torch.gt(maps, levels[:, None], out=marked[:, :pixels])
        octets = (marked.view(torch.int64) * _GATHER) >> 56
        each.view(torch.uint8).copy_(octets)
    return masks


def count_pairs(first: torch.Tensor, second: torch.Tensor, rows: Index, others: Index) -> Index:
    """See `vssl.kernels.count_pairs`."""
    one, other = (torch.from_numpy(places).to(first.device) for places in (rows, others))
    both = first[one] & second[other]
    pairs = both - ((both >> 1) & 0x5555555555555555)
    fours = (pairs & 0x3333333333333333) + ((pairs >> 2) & 0x3333333333333333)
    octets = (fours + (fours >> 4)) & 0x0F0F0F0F0F0F0F0F
    return octets.view(torch.uint8).sum(dim=1, dtype=torch.int64).numpy(force=True)


def kth_largest(maps: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
    """See `vssl.kernels.kth_largest`: `[N]` of maps `[N, P]`, bit by bit from the highest."""
    keys = _ordered((maps + 0).view(torch.int32))  # 0, not -0
    found = torch.full_like(k, _LEAST)
    for bit in reversed(range(32)):
        higher = found + (1 << bit)
        enough = (keys >= higher.int()[:, None]).sum(dim=1) >= k
        found = torch.where(enough, higher, found)
    values = _ordered(found.int()).view(torch.float32)
    return values.masked_fill(maps.amax(dim=1).isnan(), torch.nan)


def _ordered(bits: torch.Tensor) -> torch.Tensor:
    """Bits of floats to integers of the same order, and back."""
    return bits ^ ((bits >> 31) & _SIGNLESS)


def excess(maps: torch.Tensor, levels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Sum of what exceeds each map's level, float64 `[N]`, and where the sum is exact.

    All pixels that are added, and the level, are multiples of the last place of the smallest, and
    float64 holds their sum while it is below 2^53 of these, so that no order of adding matters.
    """
    above = maps.double() - levels.double()[:, None]
    added = maps.abs().masked_fill(~(above > 0) | (maps == 0), torch.inf).amin(dim=1)
    smallest = torch.minimum(added, levels.abs().masked_fill(levels == 0, torch.inf))
    total = above.clamp(min=0).sum(dim=1)
    return total, total <= smallest.double() * 2.0**28


def exceedance(
    maps: torch.Tensor, grid: torch.Tensor, inside: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """How many pixels of each map exceed each of many thresholds, and how many of those `inside`.

    Args:
        maps: `[N, P]` without NaN.
        grid: `[T]` ascending thresholds.
        inside: `[N, P]` bool.

    Returns:
        `[N, T]` int64 twice.
    """
    points = len(grid) + 1
    below = torch.bucketize(maps, grid)  # how many thresholds lie below each pixel
    below += points * torch.arange(len(maps), device=maps.device)[:, None]

    def exceeding(places: torch.Tensor) -> torch.Tensor:
        counts = torch.bincount(places, minlength=points * len(maps)).view(-1, points)
        return counts.flip(1).cumsum(1).flip(1)[:, 1:]

    return exceeding(below.flatten()), exceeding(below[inside])
