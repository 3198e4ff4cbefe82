"""SSL-Align (Senocak et al., ICCV 2023).

Sound Source Localization is All about Cross-Modal Alignment.
"""

from __future__ import annotations

from dataclasses import replace

from vssl.models.lvs import LVS


class SSLAlign(LVS):
    """LVS's network, trained to align whole clips and pictures too; the map is the cosine.

    The authors' loading accepts extra and missing entries. Here nothing may be missing; entries
    outside of the two encoders, such as alignment heads, are ignored and reported.
    """

    checkpoint = replace(LVS.checkpoint, heads=True, prefixed=False)
