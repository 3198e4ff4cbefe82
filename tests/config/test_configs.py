"""Every yaml composes, and what it names can be built: a new file is tested by being there."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig

import vssl
from tests.helpers.running import LEAN, composed, run_settings
from vssl.config import build
from vssl.config.networks import make_network
from vssl.config.settings import RunSettings
from vssl.core.choices import MAP_TRANSFORMS, UPSAMPLING_RULES
from vssl.core.devices import usable_cores
from vssl.images import ImageTransform
from vssl.models.base import LocalizationModel

CONF = Path(__file__).resolve().parents[2] / "conf"
NEGATIVES = ["silence", "noise", "offscreen"]


def names(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


@pytest.mark.parametrize("model", names("model"))
def test_models_are_built(model: str) -> None:
    settings = run_settings(f"model={model}", *LEAN, "model.weights=null")
    assert settings.model.name == model
    with torch.device("meta"):  # without values, which take most of the time
        network = make_network(settings.model)
    assert isinstance(network, LocalizationModel)
    assert network.value_range[0] < network.value_range[1]
    assert network.map_transform in MAP_TRANSFORMS
    check_facts(model, published=network.checkpoint is not None)


BOTH = ("corrected", "released")
OTHERS = [name for name in names("protocol") if name not in BOTH]


@pytest.fixture(scope="module")
def protocols() -> dict[str, DictConfig]:
    return {
        name: composed(f"protocol={name}", name="models").protocol for name in names("protocol")
    }


@pytest.mark.parametrize("model", names("model"))
def test_every_protocol_takes_every_model(model: str, protocols: dict[str, DictConfig]) -> None:
    config = composed(f"model={model}", *LEAN, "model.weights=null")
    for protocol in (*BOTH, *(OTHERS if model in ("lvs", "stored") else ())):
        config.protocol = protocols[protocol]
        check_protocol(RunSettings.of(config), protocol)


def check_protocol(settings: RunSettings, protocol: str) -> None:
    assert settings.protocol.full_name == protocol
    transform, prior_transform = build.build_transforms(settings)
    assert prior_transform is None, "there is no prior"
    if isinstance(transform, ImageTransform):
        assert transform.antialias is (protocol != "released")
    frontends = build.build_frontends(settings, NEGATIVES)
    if settings.model.frontend is None:
        assert frontends == {}
    elif protocol == "corrected":
        assert list(frontends) == ["positive"], "one front end for every condition"
    rules = build.upsampling_rules(settings, NEGATIVES)
    assert set(rules) == {"positive", *NEGATIVES}
    assert set(rules.values()) <= set(UPSAMPLING_RULES)
    if protocol == "corrected":
        assert set(rules.values()) == {"half_pixel"}


BUNDLED = Path(vssl.__file__).parent / "models" / "bundled"


def check_facts(model: str, *, published: bool) -> None:
    """What is told of a checkpoint, where a model has one."""
    facts = composed(f"model={model}", *LEAN, "paths.weights=folder").model
    if not published:
        assert (facts.weights, facts.paper, facts.year, facts.source) == (None, "", None, "")
        return
    bundled = str(facts.source).startswith("bundled")
    files = run_settings(f"model={model}", *LEAN, "paths.weights=folder").model.weights.values()
    assert {file.parent for file in files} == {BUNDLED if bundled else Path("folder")}
    assert facts.paper
    assert facts.licence
    assert 2016 < facts.year < 2100
    assert bundled or "https://github.com/" in str(facts.source)


@pytest.mark.parametrize("model", ["ezvsl", "rcgrad"])
@pytest.mark.parametrize("protocol", ["corrected", "released"])
def test_the_prior_has_an_image_of_its_own_only_where_it_takes_another(
    model: str, protocol: str
) -> None:
    settings = run_settings(f"model={model}", "prior=object_guided", f"protocol={protocol}", *LEAN)
    assert settings.prior.scale == protocol
    transform, own = build.build_transforms(settings)
    if isinstance(transform, ImageTransform):
        assert own is None
    else:
        assert isinstance(own, ImageTransform)
        assert own.antialias is (protocol != "released")
        assert own.mean.flatten().tolist() == pytest.approx([0.485, 0.456, 0.406])


@pytest.mark.parametrize("name", names("experiment"))
def test_experiments_compose_and_name_their_command(name: str) -> None:
    composed(f"experiment={name}")
    first = (CONF / "experiment" / f"{name}.yaml").read_text().splitlines()[:2]
    assert any(f"experiment={name}" in line for line in first)


@pytest.mark.parametrize("on_gpu", [False, True])
def test_loaders_follow_the_machine_unless_told(on_gpu: bool) -> None:
    found = build.loader_options(run_settings(), on_gpu=on_gpu)
    assert found["batch_size"] == found["audio_batch_size"] == (64 if on_gpu else 16)
    cores = len(usable_cores())
    assert found["num_workers"] == (cores if on_gpu else 0)
    pair = build.loader_options(run_settings("trainer=ddp_sim"), on_gpu=on_gpu)
    assert pair["num_workers"] == (max(1, cores // 2) if on_gpu else 0), "they share the cores"
    told = ("loader.batch_size=3", "loader.audio_batch_size=5", "loader.num_workers=1")
    assert build.loader_options(run_settings(*told), on_gpu=on_gpu) == {
        "batch_size": 3, "audio_batch_size": 5, "num_workers": 1,
    }  # fmt: skip
