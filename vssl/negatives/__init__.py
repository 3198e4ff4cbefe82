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

from vssl.negatives.base import AudioCondition as AudioCondition
from vssl.negatives.base import ClipCondition as ClipCondition
from vssl.negatives.base import Positive as Positive
from vssl.negatives.base import ReadClip as ReadClip
from vssl.negatives.gain import Gain as Gain
from vssl.negatives.manifest import MANIFEST as MANIFEST
from vssl.negatives.manifest import ManifestError as ManifestError
from vssl.negatives.manifest import read_manifest as read_manifest
from vssl.negatives.manifest import write_manifest as write_manifest
from vssl.negatives.mixed import Mixed as Mixed
from vssl.negatives.noise import Noise as Noise
from vssl.negatives.offscreen import Offscreen as Offscreen
from vssl.negatives.plan import AudioPlan as AudioPlan
from vssl.negatives.plan import make_plan as make_plan
from vssl.negatives.reversed import Reversed as Reversed
from vssl.negatives.silence import Silence as Silence
from vssl.negatives.swapped import Swapped as Swapped
