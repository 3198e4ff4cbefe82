"""Losses of a training: similarity maps of a batch to one number."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from vssl.core.checks import check_positive
from vssl.core.errors import UsageError


class InfoNCE(nn.Module):
    r"""Symmetric InfoNCE over a batch of image-sound pairs, with further negatives on both sides.

    The similarity s of an image and a sound is the mean over the highest share of their map. Each
    image has to pick its own sound among the batch's sounds and its negatives; each sound its own
    image among the batch's images and the empty ones:

    .. math:: -\frac{1}{2N} \sum_n \left( \log \frac{e^{s_{nn} / \tau}}{\sum_m e^{s_{nm} / \tau} +
        \sum_k e^{s^-_{nk} / \tau}} + \log \frac{e^{s_{nn} / \tau}}{\sum_m e^{s_{mn} / \tau}}
        \right)

    InfoNCE orders similarities, whatever their level. Two terms keep pairs that do not belong
    together near 0, so that one threshold can serve all images: the mean of `max(s, 0)^2` over the
    other pairs of the batch, and over the negatives.

    After EZ-VSL (Mo and Morgado, ECCV 2022), which has no further negatives, and Learning from
    Silence and Noise (Juanola et al., arXiv 2508.21761), which has silence and noise, but whose
    formula was not at hand: this one is ours.

    Args:
        temperature: divides similarities in InfoNCE, above 0.
        mismatch_weight: weight of the term over other pairs. Sounds of one class in a batch do
            belong to each other's images, so a large weight costs something too.
        negative_weight: weight of the term over the negatives.
        pooled_area: share of a map whose mean is the similarity, in (0, 1].

    Raises:
        UsageError: for a temperature or an area outside its range.

    Example:
        >>> maps = torch.eye(2).reshape(2, 2, 1, 1)  # each image hears its own sound alone
        >>> InfoNCE(temperature=1.0)(maps, torch.empty(2, 0, 1, 1))
        tensor(0.3133)
    """

    def __init__(
        self,
        *,
        temperature: float = 0.07,
        mismatch_weight: float = 1.0,
        negative_weight: float = 1.0,
        pooled_area: float = 0.1,
    ) -> None:
        super().__init__()
        check_positive(temperature, name="training.loss.temperature")
        if not 0 < pooled_area <= 1:
            raise UsageError(
                f"Expected `training.loss.pooled_area` in (0, 1], but got {pooled_area}."
            )
        self.temperature = temperature
        self.mismatch_weight = mismatch_weight
        self.negative_weight = negative_weight
        self.pooled_area = pooled_area

    def forward(self, maps: torch.Tensor, negative_maps: torch.Tensor) -> torch.Tensor:
        """Loss of a batch.

        Args:
            maps: `[N + E, N, h, w]` similarity map of every image with every sound. Image n belongs
                to sound n; the last E images show no object.
            negative_maps: `[N, K, h, w]` similarity map of each of the first N images with its K
                negatives; K may be 0.

        Returns:
            One number, to be minimized.
        """
        scores = pooled(maps, self.pooled_area)
        negatives = pooled(negative_maps, self.pooled_area)
        pairs = scores.shape[1]
        own = torch.arange(pairs, device=scores.device)
        sounds = torch.cat([scores[:pairs], negatives], dim=1) / self.temperature
        images = scores.T / self.temperature
        loss = (functional.cross_entropy(sounds, own) + functional.cross_entropy(images, own)) / 2
        others = ~torch.eye(*scores.shape, dtype=torch.bool, device=scores.device)
        loss = loss + self.mismatch_weight * scores[others].relu().square().mean()
        if negatives.numel():
            loss = loss + self.negative_weight * negatives.relu().square().mean()
        return loss


class TriMap(nn.Module):
    r"""SSL-TIE's contrastive loss over three regions of a map, with negatives as further sounds.

    A map S is divided softly at two thresholds: above :math:`\epsilon` it shows the sound, below
    :math:`\epsilon_2` it does not, and in between nothing is said. With the sigmoid
    :math:`\sigma`, the similarity of image i and sound j, and the background of a pair, are

    .. math:: s_{ij} = \frac{\sum P S_{ij}}{\sum P}, \; P = \sigma((S_{ij} - \epsilon) / \kappa),
        \qquad b_i = \frac{\sum N S_{ii}}{\sum N}, \; N = \sigma((\epsilon_2 - S_{ii}) / \kappa)

    Each image has to pick its own sound among those of the batch, its background, and its negatives
    k (silence, noise):

    .. math:: -\frac{1}{n} \sum_i \log \frac{e^{s_{ii} / \tau}}{\sum_j e^{s_{ij} / \tau} +
        e^{b_i / \tau} + \sum_k e^{s^-_{ik} / \tau}}

    Without negatives this is jinxiang-liu/SSL-TIE, `models/model.py` with `tri_map` and `Neg`, but
    for the loss of its rotated images. The sum over negatives is ours, after Learning from Silence
    and Noise (Juanola et al., arXiv 2508.21761), whose formula was not at hand.

    Args:
        epsilon: similarity above which a position shows the sound; the thresholds suit cosines.
        epsilon2: similarity below which it is background, at most `epsilon`.
        softness: width of both borders, above 0.
        temperature: divides similarities, above 0.

    Raises:
        UsageError: for an option outside its range.

    Example:
        >>> maps = torch.eye(2).reshape(2, 2, 1, 1)  # each image hears its own sound alone
        >>> TriMap(temperature=1.0)(maps, torch.empty(2, 0, 1, 1))  # and is all foreground
        tensor(0.8620)
    """

    def __init__(
        self,
        *,
        epsilon: float = 0.65,
        epsilon2: float = 0.4,
        softness: float = 0.03,
        temperature: float = 0.07,
    ) -> None:
        super().__init__()
        check_positive(softness, name="training.loss.softness")
        check_positive(temperature, name="training.loss.temperature")
        if epsilon2 > epsilon:
            raise UsageError(
                "Expected `training.loss.epsilon2` to be at most `training.loss.epsilon`, but got"
                f" {epsilon2} and {epsilon}."
            )
        self.epsilon = epsilon
        self.epsilon2 = epsilon2
        self.softness = softness
        self.temperature = temperature

    def forward(self, maps: torch.Tensor, negative_maps: torch.Tensor) -> torch.Tensor:
        """Loss of a batch, of maps as `InfoNCE.forward` takes them.

        Raises:
            UsageError: for images without objects, which pick no sound.
        """
        if len(maps) > maps.shape[1]:
            raise UsageError(
                "training.empties: TriMap takes no pictures without objects, since no sound picks"
                " an image in it. Set training.empties=0."
            )
        own = torch.arange(len(maps), device=maps.device)
        sounds = self._mean(torch.cat([maps, negative_maps], dim=1), self.epsilon, sign=1)
        background = self._mean(maps[own, own], self.epsilon2, sign=-1)
        logits = torch.cat([sounds, background[:, None]], dim=1) / self.temperature
        return functional.cross_entropy(logits, own)

    def _mean(self, maps: torch.Tensor, border: float, *, sign: int) -> torch.Tensor:
        """Mean of maps above a border (below it where the sign is -1), `[..., h, w]` to `[...]`."""
        flat = maps.flatten(-2)
        # the softmax of a logarithm: far from the border the sums themselves would be 0 / 0
        shares = functional.logsigmoid(sign * (flat - border) / self.softness).softmax(dim=-1)
        return (shares * flat).sum(dim=-1)


def pooled(maps: torch.Tensor, share: float) -> torch.Tensor:
    """Similarity of image and sound `[...]`: the mean over the highest share of `[..., h, w]`.

    The share is in (0, 1]; at least one position is taken.

    Example:
        >>> pooled(torch.tensor([[0.0, 1.0], [2.0, 3.0]]), 0.5)
        tensor(2.5000)
    """
    flat = maps.flatten(-2)
    return flat.topk(max(1, round(share * flat.shape[-1])), dim=-1).values.mean(dim=-1)
