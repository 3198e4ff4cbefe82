"""Everything that lies in conf/ keeps its contract: a new file is tested by being there."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from tests.helpers.drawn import draw_avsbench, draw_flickr, draw_music_duet, draw_vggss
from tests.helpers.running import LEAN, composed, run_settings, scoring_settings
from vssl.config.build import (
    build_conditions,
    build_frontends,
    build_metrics,
    build_policies,
    build_reader,
    build_transforms,
)
from vssl.config.compose import group_names, whole_group
from vssl.config.networks import make_network
from vssl.data.listed import write_samples
from vssl.data.vggss import VGGSS
from vssl.metrics.base import SampleMetric
from vssl.metrics.ciou import ConsensusIoU
from vssl.models.baselines import Center
from vssl.negatives.base import AudioCondition
from vssl.negatives.noise import Noise
from vssl.testing import check_metric, check_model, check_negative, check_reader, check_threshold
from vssl.thresholds.base import FixedThreshold, ThresholdPolicy
from vssl.thresholds.size_aware import HalfImage
from vssl.types import POSITIVE, AudioClip, ImageBatch

SCORING = scoring_settings(whole_group("metrics"), whole_group("threshold"))
METRICS = build_metrics(SCORING)
POLICIES = build_policies(SCORING, model="lvs", negatives=True)
# avsbench_robust sets options of the others; tests/negatives has its own
NEGATIVES = [name for name in group_names("negatives") if name != "avsbench_robust"]
CONDITIONS = build_conditions(run_settings(f"negatives=[{','.join(NEGATIVES)}]", *LEAN))
CONF = Path(__file__).resolve().parents[1] / "conf"
OTHER_RULES = ("best_of_19", "best_of_19_success", "best_of_20", "half_range", "jsa")
# stored maps need maps, and these networks have no values without their files: tests/models/
ELSEWHERE = ("stored", "acl", "cliptran", "denseav")
# the network and the front end of ezvsl, lvs, ssltie, rcgrad and tiny_av: tests/models/
TWINS = ("fnac", "sslalign", "sslsan", "rcgrad_raw", "tiny_deaf", "tiny_san")
MODELS = [name for name in group_names("model") if name not in (*ELSEWHERE, *TWINS)]


def parts_of(group: str, name: str) -> list[str]:
    """Names of the parts in a file of a group, and in the files that its defaults name."""
    content = yaml.safe_load((CONF / group / f"{name}.yaml").read_text()) or {}
    listed = [part for each in content.pop("defaults", []) for part in parts_of(group, each)]
    return [*listed, *(key for key, options in content.items() if "_target_" in options)]


@pytest.mark.parametrize("group", ["metrics", "threshold", "negatives"])
def test_a_part_has_the_name_of_its_file(group: str) -> None:
    for name in group_names(group):
        alone = parts_of(group, name)
        assert alone == [name] or len(alone) > 1 or name == "none", name


def test_all_holds_all() -> None:
    for group in ("metrics", "threshold", "figure"):
        primary = "report" if group == "figure" else "rescore"
        everything = [*composed(whole_group(group), name=primary)[group]]
        # tables of before stay as they are, and rules of other groups are for those who ask
        others = (*parts_of("metrics", "avsbench"), *OTHER_RULES)
        everything = [name for name in everything if name not in others]
        assert list(composed(f"{group}=all", name=primary)[group]) == everything


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_metrics(metric: Any) -> None:
    check_metric(metric)


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.name)
def test_thresholds(policy: ThresholdPolicy) -> None:
    check_threshold(policy, model="lvs")


@pytest.mark.parametrize("condition", CONDITIONS, ids=lambda condition: condition.name)
def test_negatives(condition: AudioCondition) -> None:
    check_negative(condition)


@pytest.mark.parametrize("name", MODELS)
def test_models(name: str) -> None:
    settings = run_settings(f"model={name}", *LEAN)
    transform, _ = build_transforms(settings)
    size = transform(torch.rand(3, 90, 120)).shape[-1]
    frontend = build_frontends(settings, ()).get(POSITIVE)
    check_model(make_network(settings.model), frontend, image_size=size)


@pytest.mark.parametrize("name", group_names("data"))
def test_readers(name: str, vggss_folder: Path, is3_folder: Path, tmp_path: Path) -> None:
    roots = {"vggss": vggss_folder, "is3": is3_folder, "samples": tmp_path}
    if name == "folder":
        own = roots[name] = draw_vggss(tmp_path / name)
        (own / "vggss.json").unlink()
        stems = [path.stem for path in sorted((own / "frames").iterdir())]
        rows = "".join(
            f"{each}.jpg,{each}.wav,10,10,60,50,class {n}\n" for n, each in enumerate(stems)
        )
        (own / "samples.csv").write_text(f"image,audio,x0,y0,x1,y1,category\n{rows}")
    drawn = {"avsbench": draw_avsbench, "vpo": draw_avsbench, "flickr": draw_flickr}
    drawn["music"] = draw_music_duet
    if draw := drawn.get(name.partition("_")[0]):
        roots[name] = draw(tmp_path / name)
    if name.startswith("extended_"):
        extended = roots[name] = (draw_vggss if "vggss" in name else draw_flickr)(tmp_path / name)
        ids = [path.stem for path in sorted((extended / "frames").iterdir())]
        pairs = "".join(f"{one},{two},non-sounding\n" for one, two in pairwise(ids))
        (extended / f"{name[9:]}_test_plus_silent.csv").write_text(f"video,audio,label\n{pairs}")
    listed = VGGSS(vggss_folder).check().samples
    (tmp_path / write_samples(listed, tmp_path)).rename(tmp_path / "samples.json")
    option = f"data.root={roots[name]}" if name in roots else "data.scenes=3"
    check_reader(build_reader(run_settings(f"data={name}", option, *LEAN).data))


class Mean(ConsensusIoU):
    """Averages the means of batches."""

    def _add(self, column: torch.Tensor) -> None:
        super()._add(column.nanmean()[None])


class NoHole(ConsensusIoU):
    """Takes what is undefined for 0."""

    @staticmethod
    def from_column(column: torch.Tensor) -> torch.Tensor:
        return column.nan_to_num()


class Percent(SampleMetric):
    """Is no fraction."""

    name = column = "percent"
    conditions = (POSITIVE,)
    bounds = (0.0, 1.0)
    higher_is_better = True

    @staticmethod
    def measure(masks: torch.Tensor, ground_truth: torch.Tensor) -> torch.Tensor:
        return 100 * masks.double().mean(dim=(1, 2))


class Largest(ThresholdPolicy):
    """Looks at the whole batch."""

    name = "largest"

    def threshold(
        self, localization_maps: torch.Tensor, ground_truth: torch.Tensor
    ) -> torch.Tensor:
        top = localization_maps.max() if len(localization_maps) else 0.0
        return torch.full((len(localization_maps),), float(top))


class Unlike(HalfImage):
    """Says that all maps share its threshold."""

    source = "constant"


class Unseeded(Noise):
    """Draws from no seed."""

    def make(self, request: Any, read: Any) -> AudioClip:
        drawn = np.random.default_rng().standard_normal((1, request.length))
        return AudioClip(drawn.astype(np.float32))


class Same(Noise):
    """Draws one waveform for all seeds."""

    def make(self, request: Any, read: Any) -> AudioClip:
        return AudioClip(np.ones((1, request.length), np.float32))


class Slow(Noise):
    """Forgets the rate of the front end."""

    def make(self, request: Any, read: Any) -> AudioClip:
        return AudioClip(super().make(request, read).samples)


class OfBatch(Center):
    """Halves all maps but the last of a batch."""

    def draw(self, batch: ImageBatch) -> torch.Tensor:
        maps = super().draw(batch)
        return torch.cat([maps[:-1] / 2, maps[-1:]])


@pytest.mark.parametrize(
    ("check", "part", "message"),
    [
        (partial(check_model, hears=False), lambda: OfBatch(sigma=0.2), "depends on the other im"),
        (check_metric, Mean, "metric ciou: batches change it"),
        (check_metric, NoHole, "NaN must stay NaN"),
        (check_metric, Percent, "outside of its bounds"),
        (check_threshold, Largest, "depends on the other maps of a batch"),
        (check_threshold, Unlike, "`source` is 'constant', but `constant` gives None"),
        (check_threshold, lambda: FixedThreshold(name=""), "`name` is not set"),
        (check_negative, Unseeded, "one request gives two waveforms"),
        (check_negative, Same, "other seeds or draws give one waveform"),
        (check_negative, Slow, "at 16000 Hz for a front end at 32000 Hz, not 16000 at that rate"),
    ],
)
def test_what_breaks_a_contract_is_named(check: Any, part: Any, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check(part())
