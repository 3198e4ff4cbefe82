"""SSL-SaN: Learning from Silence and Noise for Visual Sound Source Localization.

Juanola et al., BMVC 2025, arXiv 2508.21761.
"""

from __future__ import annotations

from dataclasses import replace

from vssl.models.lvs import LVS


class SSLSaN(LVS):
    """SSL-TIE's network, which is LVS's, trained with silence and noise too; the map is the cosine.

    `encode_audio` takes mel spectrograms in dB, `[M, 1, 257, 670]`. The published file was not at
    hand: the layout is that of a user's script that loads it. Both encoders must be whole. Entries
    outside of them (`epsilon*`, heads, momentum twins) are ignored and reported.
    """

    checkpoint = replace(
        LVS.checkpoint, wrapper=("state_dict", "model", None), heads=True, prefixed=None
    )
