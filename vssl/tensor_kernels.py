"""Kernels on tensors: the compiled loops on a CPU, torch's operations on any other device.

Both are equal to the last bit. This relies on torch's eager operations: each rounds on its own as
IEEE 754 says, none is fused, numbers below the normal range are kept, and a tensor is divided by a
tensor (CUDA multiplies by the inverse of a number). Sums are of what can be added exactly.
"""

from __future__ import annotations

import numpy as np
import torch

from vssl import kernels
from vssl.core.arrays import Index
from vssl.kernels import Places

LOOPS_ON = {"cpu"}
"""Types of devices whose tensors compiled loops compute on."""

_GATHER = 0x0102040810204080  # times eight bytes of 0 or 1: the highest byte has them as bits


def _by_loops(tensor: torch.Tensor) -> bool:
    return tensor.device.type in LOOPS_ON


def bilinear(maps: torch.Tensor, rows: Places, columns: Places, fused: bool) -> torch.Tensor:
    """See `vssl.kernels.bilinear`: `[N, H, W]` of maps `[N, h, w]`."""
    if _by_loops(maps):
        cells = maps.contiguous().numpy(force=True)
        return torch.from_numpy(kernels.bilinear(cells, rows, columns, fused))

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
    if _by_loops(maps):
        bits = kernels.pack_above(maps.numpy(force=True), thresholds.numpy(force=True))
        return torch.from_numpy(bits.view(np.int64))
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
    if _by_loops(first):
        one, other = (bits.numpy().view(np.uint64) for bits in (first, second))
        counts: Index = kernels.count_pairs(one, other, rows, others)
        return counts
    places = (torch.from_numpy(each).to(first.device) for each in (rows, others))
    both = first[next(places)] & second[next(places)]
    pairs = both - ((both >> 1) & 0x5555555555555555)
    fours = (pairs & 0x3333333333333333) + ((pairs >> 2) & 0x3333333333333333)
    octets = (fours + (fours >> 4)) & 0x0F0F0F0F0F0F0F0F
    return octets.view(torch.uint8).sum(dim=1, dtype=torch.int64).numpy(force=True)


def kth_largest(maps: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
    """See `vssl.kernels.kth_largest`: `[N]` of maps `[N, P]`, bit by bit from the highest."""
    if _by_loops(maps):
        found = kernels.kth_largest(maps.numpy(force=True), k.contiguous().numpy())
        return torch.from_numpy(found)
    keys = _ordered((maps + 0).view(torch.int32))  # 0, not -0
    key = torch.full_like(k, -(2**31))
    for bit in reversed(range(32)):
        higher = key + (1 << bit)
        enough = (keys >= higher.int()[:, None]).sum(dim=1) >= k
        key = torch.where(enough, higher, key)
    values = _ordered(key.int()).view(torch.float32)
    return values.masked_fill(maps.amax(dim=1).isnan(), torch.nan)


def _ordered(bits: torch.Tensor) -> torch.Tensor:
    """Bits of floats to integers of the same order, and back."""
    return bits ^ ((bits >> 31) & 0x7FFFFFFF)


def mean_of_largest(maps: torch.Tensor, k: int) -> torch.Tensor:
    """Mean of the k largest pixels of each map `[N, P]`: `[N]` float64; NaN for a map with NaN."""
    levels = kth_largest(maps, torch.full((len(maps),), k, device=maps.device))
    if _by_loops(maps):
        found = kernels.mean_of_largest(maps.numpy(force=True), levels.numpy(), k)
        return torch.from_numpy(found)
    total, exact = _excess(maps, levels)
    mean = levels.double() + total / total.new_tensor(k)
    # sums that are rounded depend on their order, which is that of the loops
    rest = torch.nonzero(~exact).flatten()
    left = (each[rest].numpy(force=True) for each in (maps, levels))
    mean[rest] = torch.from_numpy(kernels.mean_of_largest(*left, k)).to(maps.device)
    return mean


def _excess(maps: torch.Tensor, levels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Sum of what exceeds each map's level, float64 `[N]`, and where the sum is exact."""
    above = maps.double() - levels.double()[:, None]
    # All that is added are multiples of the last place of the smallest pixel or level. Below 2^53
    # of these float64 holds every sum, so that no order of adding matters.
    added = maps.abs().masked_fill(~(above > 0) | (maps == 0), torch.inf).amin(dim=1)
    smallest = torch.minimum(added, levels.abs().masked_fill(levels == 0, torch.inf))
    total = above.clamp(min=0).sum(dim=1)
    return total, total <= smallest.double() * 2.0**28
