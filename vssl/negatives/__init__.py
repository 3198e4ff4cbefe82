"""Audio conditions: the sounds that a model meets beside each image, its own and negatives.

Usable alone, in any data loader: `condition.prepare(samples)` once, then
`condition.clip(sample, read, draw=..., seed=..., use=...)`. A draw depends on these keys alone, so
every machine and every worker process has the same one (docs/validation-loop.md has the rule).

Example:
    >>> from pathlib import Path
    >>> from vssl.types import Sample
    >>> place = Path("dog.jpg"), Path("dog.wav")
    >>> dog = Sample("dog", *place, "dog", ("dog",), "dog", ((0, 0, 9, 9),), (1.0,), 16_000)
    >>> noise = Noise(draws=2)  # which reads no other clip
    >>> first, again = (noise.clip(dog, {}.__getitem__, draw=1).samples for _ in range(2))
    >>> first.shape, bool((first == again).all())
    ((1, 16000), True)
"""

from vssl.negatives.base import AudioCondition, ClipCondition, Positive, ReadClip
from vssl.negatives.gain import Gain
from vssl.negatives.manifest import MANIFEST, ManifestError, read_manifest, write_manifest
from vssl.negatives.mixed import Mixed
from vssl.negatives.noise import Noise
from vssl.negatives.offscreen import Offscreen
from vssl.negatives.plan import AudioPlan, make_plan
from vssl.negatives.reversed import Reversed
from vssl.negatives.silence import Silence
from vssl.negatives.swapped import Swapped

__all__ = [
    "MANIFEST",
    "AudioCondition",
    "AudioPlan",
    "ClipCondition",
    "Gain",
    "ManifestError",
    "Mixed",
    "Noise",
    "Offscreen",
    "Positive",
    "ReadClip",
    "Reversed",
    "Silence",
    "Swapped",
    "make_plan",
    "read_manifest",
    "write_manifest",
]
