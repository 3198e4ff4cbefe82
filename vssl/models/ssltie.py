"""SSL-TIE (Liu et al., ACM MM 2022).

Exploiting Transformation Invariance and Equivariance for Self-supervised Sound Localisation.
"""

from __future__ import annotations

from dataclasses import replace

from vssl.models.lvs import LVS


class SSLTIE(LVS):
    """LVS's network, trained under geometric transformations of the image; the map is the cosine.

    `encode_audio` takes mel spectrograms in dB, `[M, 1, 257, 670]`. The checkpoint also holds three
    layers of the training that do not reach the map (docs/protocols.md, R14).
    """

    checkpoint = replace(
        LVS.checkpoint,
        wrapper="state_dict",
        prefixed=False,
        unused=(*LVS.checkpoint.unused, "vision_fc1.*", "conv3.*", "norm3.*"),
    )
