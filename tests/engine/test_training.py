"""Training: the loss against NumPy, batches, determinism, models of one's own, and bad requests."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy.special import logsumexp

from tests.helpers.drawn import draw_vggss
from tests.helpers.running import composed, run
from vssl.config.settings import TrainingSettings
from vssl.core.errors import UsageError
from vssl.core.hashing import file_sha256
from vssl.core.randomness import seed_for
from vssl.data.embedded import Synthetic
from vssl.engine.training import data as training_data
from vssl.engine.training.data import TrainingSet, hold_out, training_loaders
from vssl.engine.training.loss import InfoNCE, TriMap, pooled
from vssl.engine.training.module import recoloured
from vssl.frontends import RawWaveform
from vssl.images import ImageTransform
from vssl.models.base import CheckpointLayout
from vssl.models.tiny import Tiny
from vssl.negatives.gain import Gain
from vssl.negatives.noise import Noise
from vssl.negatives.offscreen import Offscreen
from vssl.negatives.silence import Silence
from vssl.records.files import RECORDS_FILE
from vssl.records.store import read_provenance
from vssl.runs.train import train
from vssl.types import AudioClip

ROOT = Path(__file__).resolve().parents[2]
SMALL = (
    "trainer=cpu", "trainer.enable_progress_bar=false", "training.train.scenes=12",
    "training.validation.scenes=4", "training.batch_size=8", "training.empties=3",
)  # fmt: skip


class TestLoss:
    @given(
        sizes=st.tuples(st.integers(2, 6), st.integers(0, 3), st.integers(0, 3)),
        temperature=st.sampled_from([0.03, 0.07, 1.0]),
        weights=st.tuples(st.sampled_from([0.0, 1.0, 2.5]), st.sampled_from([0.0, 0.5])),
        seed=st.integers(0, 100),
    )
    def test_it_is_the_formula(
        self, sizes: tuple[int, ...], temperature: float, weights: tuple[float, ...], seed: int
    ) -> None:
        (pairs, empty, negatives), (weight, mismatch) = sizes, weights
        generator = np.random.default_rng(seed)
        scores = generator.uniform(-1, 1, (pairs + empty, pairs))
        others = generator.uniform(-1, 1, (pairs, negatives))
        own = np.diagonal(scores) / temperature
        sounds = logsumexp(np.concatenate([scores[:pairs], others], axis=1) / temperature, axis=1)
        images = logsumexp(scores / temperature, axis=0)
        expected = (np.mean(sounds - own) + np.mean(images - own)) / 2
        mixed = [scores[i, j] for i in range(pairs + empty) for j in range(pairs) if i != j]
        expected += mismatch * np.mean(np.maximum(mixed, 0) ** 2)
        if negatives:
            expected += weight * np.mean(np.maximum(others, 0) ** 2)
        loss = InfoNCE(
            temperature=temperature, mismatch_weight=mismatch, negative_weight=weight, pooled_area=1
        )
        found = loss(*(torch.from_numpy(s)[..., None, None] for s in (scores, others)))
        assert float(found) == pytest.approx(expected, rel=1e-9)

    @pytest.mark.parametrize("negatives", [0, 2])
    def test_trimap_is_the_formula(self, negatives: int) -> None:
        """With the sums of SSL-TIE's code, and pair n a candidate once."""
        generator = np.random.default_rng(negatives)
        maps = generator.uniform(-1, 1, (3, 3, 4, 4))
        others = generator.uniform(-1, 1, (3, negatives, 4, 4))
        losses = []
        for n in range(3):
            sounds = [maps[n, n], *np.delete(maps[n], n, axis=0), *others[n]]
            shown = [1 / (1 + np.exp(-(each - 0.6) / 0.1)) for each in sounds]
            logits = [(p * s).sum() / p.sum() for p, s in zip(shown, sounds, strict=True)]
            back = 1 - 1 / (1 + np.exp(-(maps[n, n] - 0.3) / 0.1))
            logits.append((back * maps[n, n]).sum() / back.sum())
            losses.append(logsumexp(np.array(logits) / 0.2) - logits[0] / 0.2)
        loss = TriMap(epsilon=0.6, epsilon2=0.3, softness=0.1, temperature=0.2)
        found = loss(torch.from_numpy(maps), torch.from_numpy(others))
        assert float(found) == pytest.approx(np.mean(losses), rel=1e-9)

    def test_trimap_is_finite_far_from_its_borders(self) -> None:
        maps = torch.linspace(-100, 100, 3 * 3 * 4).reshape(3, 3, 2, 2).requires_grad_()
        TriMap()(maps, torch.empty(3, 0, 2, 2)).backward()
        assert maps.grad is not None
        assert maps.grad.isfinite().all()

    @pytest.mark.parametrize("share", [1e-9, 0.05, 0.1, 1.0])
    def test_similarity_is_the_mean_of_the_highest(self, share: float) -> None:
        values = np.random.default_rng(0).normal(size=(3, 2, 14, 14))
        highest = np.sort(values.reshape(3, 2, -1))[..., ::-1][..., : max(1, round(share * 196))]
        found = pooled(torch.from_numpy(values), share).numpy()
        np.testing.assert_allclose(found, highest.mean(axis=-1), rtol=1e-12)

    def test_images_are_flipped_and_recoloured_within_bounds(self) -> None:
        images = torch.rand(64, 3, 4, 6)
        changed = recoloured(images, 0.3, torch.Generator().manual_seed(0))
        same = recoloured(images, 0.0, torch.Generator().manual_seed(0))
        straight = (same == images).flatten(1).all(dim=1)
        turned = (same == images.flip(3)).flatten(1).all(dim=1)
        assert (straight | turned).all()
        assert 16 < int(turned.sum()) < 48
        for image, again in zip(changed, same, strict=True):
            for channel, plain in zip(image, again, strict=True):
                gain, offset = np.polyfit(plain.flatten(), channel.flatten(), 1)
                assert 0.7 - 1e-5 <= gain <= 1.3 + 1e-5
                assert abs(offset) <= 0.3 + 1e-5


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Synthetic:
    return Synthetic(cache=tmp_path_factory.mktemp("cache"), scenes=8, split="train")


def whole(clip: AudioClip) -> np.ndarray:
    return clip.samples[0]


def training_set(reader: Synthetic, *conditions: Any, **options: Any) -> TrainingSet:
    inputs = {"frontend": RawWaveform(whole), "transform": ImageTransform(size=16)}
    return TrainingSet(reader.check().samples, conditions, **inputs, **options)


class TestBatches:
    def test_sounds_are_the_files_begun_elsewhere(self, reader: Synthetic) -> None:
        samples = reader.check().samples
        batch = training_set(reader)[[(3, 5), (3, 2), (9, 5)]]
        assert batch.images.shape == (3, 3, 16, 16)
        assert batch.negatives.numel() == 0
        offsets = []
        for waveform, position in zip(batch.waveforms.numpy(), (5, 2, 5), strict=True):
            own = soundfile.read(samples[position].audio_path, dtype="float32")[0]
            match = np.fft.irfft(np.fft.rfft(waveform) * np.conj(np.fft.rfft(own)))
            offsets.append(int(match.argmax()))
            np.testing.assert_array_equal(np.roll(own, offsets[-1]), waveform)
        assert len(set(offsets)) == 3, "another moment for every sample and step"

    def test_a_sample_is_the_same_in_any_batch(self, reader: Synthetic) -> None:
        split = training_set(reader, Noise(draws=5))
        alone = split[[(4, 7)]]
        together = split[[(4, 1), (4, 7)]]
        assert torch.equal(alone.waveforms[0], together.waveforms[1])
        assert torch.equal(alone.images[0], together.images[1])
        heard = together.negatives[together.negative_index[1, 0]]
        assert torch.equal(alone.negatives[alone.negative_index[0, 0]], heard)
        other = training_set(reader, seed=1)[[(4, 7)]]
        assert not torch.equal(alone.waveforms, other.waveforms)

    def test_images_beyond_the_memory_for_them_are_the_same(
        self, reader: Synthetic, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        kept = training_set(reader)[[(0, 3)]]
        monkeypatch.setattr(training_data, "KEPT_BYTES", 0)
        split = training_set(reader)
        assert all(torch.equal(split[[(0, 3)]].images, kept.images) for _ in range(2))

    def test_negatives_are_those_of_an_evaluation(self, reader: Synthetic) -> None:
        samples = reader.check().samples
        offscreen = Offscreen(draws=2)
        split = training_set(reader, Silence(), Noise(draws=3), offscreen)
        batch = split[[(7, position) for position in range(6)]]
        silence, noise, clips = (batch.negatives[index] for index in batch.negative_index.T)
        assert not silence.any()
        length = samples[0].audio_length
        seed = seed_for(0, "training on train")
        request = Noise().request(samples[0], draw=7 % 3, seed=seed, length=length)
        made = Noise().make(request, lambda source: AudioClip(np.empty((1, 0)))).samples
        assert torch.equal(noise, torch.from_numpy(made).expand(6, -1))
        paths = {sample.sample_id: sample.audio_path for sample in samples}
        for sample, clip in zip(samples, clips.numpy(), strict=False):
            source = offscreen.request(sample, draw=7 % 2, seed=0, length=length).source_id
            np.testing.assert_array_equal(soundfile.read(paths[source], dtype="float32")[0], clip)
        assert len(batch.negatives) == 2 + len({clip.tobytes() for clip in clips.numpy()})

    def test_pictures_without_objects_follow(self, reader: Synthetic) -> None:
        samples = reader.check().samples
        split = training_set(reader, empty=reader.empty_scene, empties=2)
        batch = split[[(0, position) for position in (8, 3, 0)]]
        assert batch.images.shape == (5, 3, 16, 16)
        transform = ImageTransform(size=16)
        for picture, position in zip(batch.images[3:], (8, 3), strict=True):
            expected = transform.of_pixels(reader.empty_scene(samples[position]))
            assert torch.equal(picture, expected)
            x0, y0, x1, y1 = (v // 14 for v in samples[position].boxes[0])
            with_object = transform.of_pixels(np.array(Image.open(samples[position].image_path)))
            inside = (picture - with_object)[:, y0 : y1 + 1, x0 : x1 + 1]
            assert inside.abs().max() > 0.2

    def test_every_pass_shows_each_sample_once_in_another_order(self, reader: Synthetic) -> None:
        split = training_set(reader)
        loader, _ = training_loaders(split, split, batch_size=4)
        passes = np.array([list(loader.batches) for _ in range(3)])  # pass, batch, sample
        steps = np.arange(12).reshape(3, 4, 1)
        np.testing.assert_array_equal(passes[..., 0], np.broadcast_to(steps, (3, 4, 4)))
        orders = [order.ravel().tolist() for order in passes[..., 1]]
        assert all(sorted(order) == list(range(16)) for order in orders)
        assert orders[0] != orders[1] != orders[2]

    def test_threads_that_read_ahead_change_nothing(self, reader: Synthetic) -> None:
        split = training_set(reader, Noise(draws=5))
        found = []
        for workers in (0, 2):
            loader, _ = training_loaders(split, split, batch_size=8, num_workers=workers)
            found.append(list(loader))
        for mine, other in zip(*found, strict=True):
            assert all(torch.equal(value, vars(other)[key]) for key, value in vars(mine).items())

    def test_a_validation_split_may_be_smaller_than_a_batch(self, reader: Synthetic) -> None:
        few = TrainingSet(
            reader.check().samples[:3], [], frontend=RawWaveform(whole),
            transform=ImageTransform(size=16),
        )  # fmt: skip
        _, loader = training_loaders(training_set(reader), few, batch_size=8)
        assert [len(batch.waveforms) for batch in loader] == [3]

    def test_pictures_are_held_out_whole(self, reader: Synthetic) -> None:
        samples = reader.check().samples  # two of each of 8 pictures
        halves = hold_out(samples, 0.25, seed=0)
        assert [len(half) for half in halves] == [12, 4]
        pictures = [{sample.image_group for sample in half} for half in halves]
        assert pictures[0].isdisjoint(pictures[1])
        again, other = (hold_out(samples[::-1], 0.25, seed=seed)[1] for seed in (0, 1))
        assert again[::-1] == halves[1] != other[::-1]

    def test_what_cannot_be_learnt_from_is_refused(self, reader: Synthetic) -> None:
        with pytest.raises(UsageError, match=r"training\.negatives\.gain.*no negative"):
            training_set(reader, Gain())
        split = training_set(reader)
        with pytest.raises(UsageError, match=r"training\.batch_size.*\[2, 16\].*train.*got 17"):
            training_loaders(split, split, batch_size=17)


def settings(*overrides: str) -> TrainingSettings:
    return TrainingSettings.of(composed(*SMALL, *overrides, name="train"))


class InParts(Tiny):
    """The tiny network, whose parts come from a file each."""

    checkpoint = dict.fromkeys(("look", "listen", "tell"), CheckpointLayout(wrapper="model"))


@pytest.mark.slow
class TestTraining:
    def test_a_model_of_several_files(self, tmp_path: Path) -> None:
        model = (
            "model=tiny_av",
            f"model._target_={InParts.__module__}.InParts",
            "model.name=parts",
        )
        config = settings(*model, "training.steps=1")
        assert train(config, tmp_path / "first") == tmp_path / "first" / "parts_look.safetensors"
        files = {n: tmp_path / "first" / f"parts_{n}.safetensors" for n in InParts.checkpoint}
        facts = json.loads((tmp_path / "first" / "parts.json").read_text())
        hashes = {part: file_sha256(path) for part, path in files.items()}
        assert facts["sha256"] == hashes
        # evaluated
        listed = ", ".join(f"{part}: {path}" for part, path in files.items())
        overrides = [f"model.weights={{{listed}}}", "model.sha256=null"]
        overrides += ["data.scenes=2", "negatives=silence"]
        run(tmp_path / "run", *model, *overrides)
        written = read_provenance(tmp_path / "run" / RECORDS_FILE)["weights"]
        assert written["sha256"] == hashes
        # and trained on from one of them, which stays as it is
        config = settings(
            *model, "training.steps=1", f"training.weights={{look: {files['look']}}}",
            "training.frozen=[look]",
        )  # fmt: skip
        train(config, tmp_path / "second")
        again = {part: file_sha256(tmp_path / "second" / p.name) for part, p in files.items()}
        assert [again[part] == hashes[part] for part in files] == [True, False, False]

    def test_silence_and_noise_are_sounds_of_the_trimap(self) -> None:
        config = composed("model=sslsan", name="train")
        assert list(config.training.negatives) == ["silence", "noise"]
        assert config.training.empties == 0
        TrainingSettings.of(config)

    def test_a_seed_gives_one_set_of_weights(self, tmp_path: Path) -> None:
        hashes = {}
        cases = {
            "first": ("tiny_san", 0), "again": ("tiny_san", 0), "other": ("tiny_san", 1),
            "deaf": ("tiny_deaf", 0),
        }  # fmt: skip
        for name, (model, seed) in cases.items():
            config = settings(f"model={model}", "training.steps=1", f"seed={seed}")
            weights = train(config, tmp_path / name)
            hashes[name] = hashlib.sha256(weights.read_bytes()).hexdigest()
            facts = json.loads(weights.with_suffix(".json").read_text())
            assert facts["sha256"] == hashes[name]
            assert facts["config"]["seed"] == seed
            assert str(tmp_path) not in json.dumps(facts["config"])
        assert hashes["first"] == hashes["again"]
        assert len(set(hashes.values())) == 3, "seed and shuffled sounds change the weights"
        # on from weights, by a step too small to change anything but statistics of batch norms
        first = tmp_path / "first" / "tiny_san.safetensors"
        config = settings(
            "model=tiny_san", "training.steps=1", f"training.weights={first}",
            "training.learning_rate=1e-12", "training.weight_decay=0",
        )  # fmt: skip
        second = train(config, tmp_path / "second")
        mine, other = (safetensors.torch.load_file(path)["tell.weight"] for path in (first, second))
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-6)

    def test_it_learns_and_says_so(self, tmp_path: Path) -> None:
        config = settings("model=tiny_av", "training.steps=12", "training.validate_every=2")
        weights = train(config, tmp_path)
        rows = pd.read_csv(weights.with_suffix(".csv"))
        assert rows["step"].to_list() == [6, 12]
        assert rows["train_loss"].iat[-1] < rows["train_loss"].iat[0]
        assert rows["learning_rate"].iat[-1] == pytest.approx(0, abs=1e-9)
        assert np.isfinite(rows).all(axis=None)

    @pytest.mark.parametrize(
        ("overrides", "message"),
        [
            (["model=audio_blind"], "takes no audio"),
            (["model=denseav"], r"denseav has no random weights.*'training\.weights=FILE'"),
            (["model=ezvsl", "model._target_=mynets.modulated.Modulated"], "overrides `localize`"),
            (["training.batch_size=100"], r"training\.batch_size.*train split"),
            (["training.loss.pooled_area=0"], r"training\.loss\.pooled_area"),
            (["+training.temperature=1"], r"training\.temperature.* training\.loss\.temperature"),
            (["+training.loss.slope=1"], r"training\.loss: .*InfoNCE does not take .*slope"),
            (["training.loss._target_=builtins.dict"], r"training\.loss: .*no torch\.nn\.Module"),
            (["training.weights=nowhere.pth"], r"nowhere\.pth: no such file"),
            (["training.weights={image: nowhere.pth}"], r"no part `image`.*training\.weights=FILE"),
            (["training.frozen=[body]"], r"training\.frozen: .* no part `body`\. It has look, lis"),
            (["training.frozen=[look,listen,tell]"], r"nothing to train \(training\.frozen\)"),
            (["training/loss=trimap"], r"training\.empties=0"),
            (["training/loss=trimap", "training.loss.epsilon=0.3"], r"training\.loss\.epsilon2"),
            (["training.validation.split=train", "training.validation.scenes=12"], "same data"),
        ],
    )
    def test_what_cannot_be_trained_is_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overrides: list[str], message: str
    ) -> None:
        monkeypatch.syspath_prepend(str(ROOT / "docs" / "own_model"))
        with pytest.raises(UsageError, match=message):
            train(settings("training=synthetic", "training.steps=1", *overrides), tmp_path)

    def test_one_data_set_serves_both_splits(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        draw_vggss(tmp_path / "data")
        overrides = ["data=vggss", f"data.root={tmp_path / 'data'}", "training=default"]
        overrides += ["training.steps=1", "training.batch_size=2", "trainer=cpu"]
        config = composed(*overrides, "trainer.enable_progress_bar=false", name="train")
        with caplog.at_level("INFO"):
            train(TrainingSettings.of(config), tmp_path)
        assert re.search(r"data: \d+ samples to learn from, 2 for validation", caplog.text)
        config.training.empties = 1
        with pytest.raises(UsageError, match=r"training\.empties: vggss .*training\.empties=0"):
            train(TrainingSettings.of(config), tmp_path)
