"""Networks as configured: classes of one's own, precision, memory format, compilation, identity."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.backends import cudnn
from torch.backends.cuda import matmul

from tests.helpers.running import HEARS, composed, maps, records, run, run_settings
from vssl.config.build import build_localizer
from vssl.config.compose import run_folder
from vssl.config.networks import build_model, keep_float32
from vssl.core.errors import UsageError
from vssl.models.base import CheckpointLayout, LocalizationModel, dot_maps, unit
from vssl.models.resnet import ResNet18
from vssl.records.store import read_provenance
from vssl.runs.evaluate import check_request
from vssl.types import POSITIVE, AudioClip

QUICK = ("negatives.noise.draws=1", "negatives.offscreen.draws=1", "threshold=fixed", "metrics=pia")


class Encoder(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, 8, 3, 2, 1)
        self.second = nn.Conv2d(8, 16, 3, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.second(self.first(x).relu())
        return features


class Small(LocalizationModel):
    """A network of four convolutions, with weights, for images of 32 x 32."""

    map_size = (8, 8)
    value_range = (-1.0, 1.0)
    checkpoint = CheckpointLayout(wrapper="weights")

    def __init__(self) -> None:
        super().__init__()
        self.image = Encoder(3)
        self.audio = Encoder(1)

    def encode_image(self, images: torch.Tensor) -> torch.Tensor:
        return unit(self.image(images))

    def encode_audio(self, inputs: torch.Tensor) -> torch.Tensor:
        return unit(self.audio(inputs).amax((2, 3)))

    def similarity(
        self, image_features: torch.Tensor, audio_features: torch.Tensor
    ) -> torch.Tensor:
        return dot_maps(image_features, audio_features)


def test_a_model_that_hears_without_a_front_end_is_a_lesson() -> None:
    hears = run_settings(*HEARS, f"model._target_={__name__}.Small").model
    with pytest.raises(UsageError, match=r"Small has encode_audio\.(.|\n)*LogSpectrogram"):
        build_model(replace(hears, frontend=None))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """Overrides for `Small`, with weights drawn at random."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        state = Small().state_dict()
    path = tmp_path_factory.mktemp("small") / "small.pth"
    torch.save({"weights": state}, path)
    return (*HEARS, "model.name=small", f"model._target_={__name__}.Small", f"model.weights={path}")


def of(folder: Path) -> tuple[str, ...]:
    return (f"data={folder.name}", f"data.root={folder}", *QUICK)


def maps_of(folder: Path) -> np.ndarray:
    return maps(records(folder))


class TestPrecision:
    def test_bf16_differs_a_little_and_goes_to_its_own_folder(
        self, small: tuple[str, ...], vggss_folder: Path, tmp_path: Path
    ) -> None:
        both = (*small, *of(vggss_folder), f"output_root={tmp_path}")
        bf16 = (*both, "model.precision=bf16-mixed")
        folders = [Path(run_folder(_root_=composed(*overrides))) for overrides in (both, bf16)]
        assert folders[0] != folders[1]
        run(folders[0], *both)
        run(folders[1], *bf16)
        exact, rounded = (maps_of(folder) for folder in folders)
        # bf16 has 8 bits: 0.004 in each of some 20 layers
        distance = np.abs(exact - rounded) / np.ptp(exact)
        assert 1e-4 < distance.mean() < 0.04
        assert distance.max() < 0.2
        facts = [read_provenance(folder / "records.parquet") for folder in folders]
        assert [each["precision"] for each in facts] == ["32-true", "bf16-mixed"]
        assert facts[0]["config_hash"] != facts[1]["config_hash"]
        as_bf16 = torch.from_numpy(rounded).bfloat16().float().numpy()
        assert (rounded != as_bf16).mean() > 0.5, "maps are float32"
        # a cosine of vectors that were normalized in bf16 would leave [-1, 1]
        assert np.abs(rounded).max() <= 1 + 1e-6

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ("model.precision=16-mixed", r"16-mixed needs a GPU\. On a CPU, use bf16-mixed"),
            ("model.precision=tf32", r"tf32 needs a GPU\. On a CPU, use bf16-mixed"),
            ("model.precision=16", r"`model\.precision` to be one of 32-true, tf32, bf16-mixed"),
            ("model.compile=true", r"model\.compile=true needs a C\+\+ compiler"),
        ],
    )
    def test_what_this_machine_lacks_is_refused(
        self, small: tuple[str, ...], tmp_path: Path, change: str, message: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.delenv("CXX", raising=False)
        with pytest.raises(UsageError, match=message):
            run(tmp_path / "run", *small, change)
        assert list((tmp_path / "run").iterdir()) == []


def test_tf32_is_of_the_networks_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """What rounds products is on where networks are called, and off around them."""
    seen: dict[str, tuple[bool, bool]] = {}

    def noted(name: str, made: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
        def call(*inputs: torch.Tensor) -> torch.Tensor:
            seen[name] = cudnn.allow_tf32, matmul.allow_tf32
            return made(*inputs)

        return call

    before = cudnn.allow_tf32, matmul.allow_tf32
    for precision, inside in (("32-true", (False, False)), ("tf32", (True, True))):
        overrides = (*HEARS, f"model.precision={precision}", "negatives=none")
        chosen = run_settings(*overrides)
        try:
            keep_float32(chosen.trainer)
            localizer, _ = build_localizer(chosen, [])
            for name in ("encode_image", "encode_audio", "similarity"):
                method = noted(name, getattr(localizer.model, name))
                monkeypatch.setattr(localizer.model, name, method)
            frontend = localizer.frontend()
            monkeypatch.setattr(frontend, "forward", noted("frontend", frontend.forward))
            noise = np.random.default_rng(0).standard_normal((1, 80_000)).astype(np.float32)
            sounds = localizer.encode_sounds([AudioClip(noise)])
            picture = localizer.prepare(np.zeros((9, 9, 3), np.uint8), "black")
            localizer.localize([picture], sounds[None], [(POSITIVE, 0)])
        finally:
            cudnn.allow_tf32, matmul.allow_tf32 = before
        assert seen == {
            "encode_image": inside, "encode_audio": inside,
            "similarity": (False, False), "frontend": (False, False),
        }  # fmt: skip


class TestMemoryFormat:
    def test_quicker_networks_change_no_map(
        self, small: tuple[str, ...], vggss_folder: Path, tmp_path: Path
    ) -> None:
        as_defined = ("model.channels_last=false", "model.fold_batch_norms=false")
        run(tmp_path / "plain", *small, *of(vggss_folder), *as_defined)
        run(tmp_path / "quick", *small, *of(vggss_folder))
        one, two = (maps_of(tmp_path / name) for name in ("plain", "quick"))
        np.testing.assert_allclose(one, two, rtol=0, atol=1e-5)


class TestBatchNorms:
    @staticmethod
    def network(*, folded: bool, channels: int = 3, last_stride: int = 2) -> ResNet18:
        with torch.random.fork_rng():
            torch.manual_seed(1)
            network = ResNet18(channels_in=channels, last_stride=last_stride).eval()
            for module in network.modules():
                if isinstance(module, nn.BatchNorm2d):  # as after a training
                    for values in (module.weight.data, module.running_var):
                        assert values is not None
                        values.uniform_(0.5, 2)
                    for values in (module.bias.data, module.running_mean):
                        assert values is not None
                        values.normal_()
        if folded:
            network.fold_batch_norms()
        return network

    @pytest.mark.parametrize("channels", [1, 3])
    @pytest.mark.parametrize("last_stride", [1, 2])
    def test_folding_changes_no_feature(self, channels: int, last_stride: int) -> None:
        options = {"channels": channels, "last_stride": last_stride}
        plain, folded = (self.network(folded=f, **options).double() for f in (False, True))
        # the weights were folded in float32, a running mean and variance at a time
        inputs = torch.rand(2, channels, 64, 96, dtype=torch.float64)
        with torch.inference_mode():
            expected, found = plain(inputs), folded(inputs)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5 * float(expected.max()))
        assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())

    @pytest.mark.parametrize(
        ("overrides", "folded"),
        [
            ((), True),
            (("model.fold_batch_norms=false",), False),
            (("protocol=released",), False),
            (("protocol=released", "model.fold_batch_norms=true"), True),
        ],
    )
    def test_the_published_numbers_are_of_the_network_as_it_is(
        self, seeded_checkpoint: Callable[..., Path], overrides: tuple[str, ...], folded: bool
    ) -> None:
        path = seeded_checkpoint("ezvsl")
        network, report = build_model(
            run_settings("model=ezvsl", f"model.weights={path}", *overrides).model
        )
        assert report is not None
        assert not network.training
        assert not any(parameter.requires_grad for parameter in network.parameters())
        assert folded != any(isinstance(module, nn.BatchNorm2d) for module in network.modules())


class TestCompile:
    @pytest.mark.slow
    # torch's compiler imports a part of torch that torch deprecates
    @pytest.mark.filterwarnings("ignore:.*torch.jit.script_method.*:DeprecationWarning")
    @pytest.mark.skipif(
        not any(map(shutil.which, ("c++", "g++", "clang++"))), reason="there is no C++ compiler"
    )
    def test_it_changes_no_map(
        self, vggss_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "inductor"))
        monkeypatch.setattr("torch._inductor.config.compile_threads", 1)  # in this process
        torch.compiler.reset()
        # batches of one, and a kernel each: compiling takes seconds for every one
        options = (*HEARS, *of(vggss_folder), "loader.batch_size=1", "loader.audio_batch_size=1")
        run(tmp_path / "plain", *options)
        run(tmp_path / "compiled", *options, "model.compile=true")
        assert list((tmp_path / "inductor").rglob("*.cpp")), "something was compiled"
        one, two = (maps_of(tmp_path / name) for name in ("plain", "compiled"))
        np.testing.assert_allclose(one, two, rtol=0, atol=1e-5)


class TestClasses:
    @pytest.mark.parametrize(
        ("overrides", "message"),
        [
            (["model._target_=nowhere.Model"], r"nowhere\.Model cannot be made.*PYTHONPATH"),
            (["model._target_=vssl.models.lvs.LSV"], r"lvs\.LSV cannot be made.*PYTHONPATH"),
            (
                ["model._target_=torch.nn.Identity", "model.arguments={}"],
                r"torch\.nn\.Identity is no vssl\.models\.base\.LocalizationModel",
            ),
            (["model._target_=builtins.dict"], r"builtins\.dict is no vssl.*LocalizationModel"),
            (["+model.arguments.sgima=1"], r"Center cannot be made.*sgima.*model\.arguments"),
            (["model.arguments.sigma=-1"], "Expected `sigma` to be greater than 0, but got -1"),
            (["model.weights=WEIGHTS"], r"center has no weights: leave model\.weights out"),
            (
                ["model=slavc", "model.weights=null"],
                r"model\.weights is not set: slavc needs .*github\.com",
            ),
            (["model=slavc", "paths.weights=none"], r"none/slavc\.pth: no such file\. slavc needs"),
        ],
    )
    def test_faults_get_one_clear_error(
        self, small: tuple[str, ...], vggss_folder: Path, tmp_path: Path,
        overrides: list[str], message: str,
    ) -> None:  # fmt: skip
        given = (override.replace("model.weights=WEIGHTS", small[-1]) for override in overrides)
        with pytest.raises(UsageError, match=f"^[^\n]*{message}[^\n]*$"):
            run(tmp_path / "run", "model=center", *of(vggss_folder), *given)
        assert not list((tmp_path / "run").glob("*.parquet"))


@pytest.mark.parametrize("change", ["prior.alpha=2", "prior.alpha=nan", "prior.scale=unit"])
def test_faults_of_the_prior_are_found_before_the_run(prior_file: Path, change: str) -> None:
    guided = ("prior=object_guided", f"prior.weights={prior_file}", "trainer=cpu")
    check_request(run_settings("model=center", *guided))
    with pytest.raises(UsageError, match=f"Expected `{change.partition('=')[0]}` to be"):
        check_request(run_settings("model=center", *guided, change))


class TestIdentity:
    def test_what_changes_records_changes_it(
        self, small: tuple[str, ...], prior_file: Path
    ) -> None:
        guided = (*small, "prior=object_guided", f"prior.weights={prior_file}")
        versions = [
            small,
            guided,
            (*guided, "prior.alpha=0.5"),
            (*guided, "prior.scale=released"),
            (*small, "model.precision=bf16-mixed"),
            (*small, "seed=1"),
            (*small, "data.scenes=7"),
            (*small, "protocol.positive_window=released"),
            (*small, "model.image.size=64"),
            (*small, "model.frontend.floor=1e-6"),
            ("model=center",),
            ("model=center", "model.arguments.sigma=0.1"),
        ]
        hashes = {run_settings(*overrides).identity_hash for overrides in versions}
        assert len(hashes) == len(versions)

    def test_what_cannot_change_records_does_not_but_other_weights_do(
        self, small: tuple[str, ...], prior_file: Path, tmp_path: Path
    ) -> None:
        guided = (*small, "prior=object_guided", f"prior.weights={prior_file}")
        plain = run_settings(*guided).identity
        moved, own = tmp_path / "moved.pth", tmp_path / "own.pth"
        shutil.copy(prior_file, moved)
        shutil.copy(small[-1].partition("=")[2], own)
        for overrides in (
            ("model.paper=mine", "model.year=2031", "model.licence=MIT", "model.source=here"),
            (f"prior.weights={moved}", "prior.source=there"),
            (f"model.weights={own}", f"paths.weights={tmp_path}"),
            ("loader.batch_size=3", "trainer=ddp_sim", "logger=none", "force=true"),
            ("threshold=fixed", "metrics=pia", "output_root=elsewhere", "data.cache=elsewhere"),
        ):
            assert run_settings(*guided, *overrides).identity == plain, overrides

        other = tmp_path / "other.pth"
        other.write_bytes(prior_file.read_bytes() + b"\0")
        for key in ("prior.weights", "model.weights"):
            assert run_settings(*guided, f"{key}={other}").identity != plain, key
