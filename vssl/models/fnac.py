"""FNAC (Sun et al., CVPR 2023).

Learning Audio-Visual Source Localization via False Negative Aware Contrastive Learning.
"""

from __future__ import annotations

from vssl.models.ezvsl import EZVSL


class FNAC(EZVSL):
    """EZ-VSL's network, trained with false negatives suppressed; its clips are 3 s long.

    `encode_audio` takes log spectrograms `[M, 1, 257, 200]`. The map is `(cosine + 1) / 2`.
    """
