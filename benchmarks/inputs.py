"""What the benchmarks run on: a made test set of real file sizes, checkpoints of random weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import soundfile
import torch
from PIL import Image

from vssl.config.compose import composed_config
from vssl.config.networks import make_network
from vssl.config.settings import RunSettings
from vssl.data.embedded import Synthetic

WIDTH, HEIGHT, SECONDS, RATE = 1280, 720, 10, 16_000


def make_test_set(root: Path, samples: int, *, cache: Path) -> None:
    """Scenes of the embedded benchmark as VGG-SS has them: 1280 x 720 JPEGs and 10 s clips.

    Args:
        root: folder to make, in the layout of VGG-SS.
        samples: how many.
        cache: where the embedded benchmark is drawn.
    """
    (root / "frames").mkdir(parents=True)
    (root / "audio").mkdir()
    random = np.random.default_rng(0)
    entries = []
    scenes = Synthetic(cache=cache, scenes=(samples + 1) // 2).check().samples
    for number, sample in enumerate(scenes[:samples]):
        name = f"made{number:05d}_000000"
        picture = Image.open(sample.image_path).convert("RGB").resize((WIDTH, HEIGHT))
        grain = random.integers(-12, 13, size=(HEIGHT, WIDTH, 3))
        pixels = np.clip(np.asarray(picture) + grain, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(root / "frames" / f"{name}.jpg", quality=90)
        clip, _ = soundfile.read(sample.audio_path, dtype="float32")
        whole = np.resize(clip, SECONDS * RATE) + 1e-3 * random.standard_normal(SECONDS * RATE)
        soundfile.write(root / "audio" / f"{name}.wav", whole, RATE)
        boxes = [[value / 224 for value in box] for box in sample.boxes]
        entries.append({"file": name, "class": sample.category, "bbox": boxes})
    (root / "vggss.json").write_text(json.dumps(entries))


def make_checkpoint(model: str, folder: Path) -> None:
    """Random weights of a model in a file as its authors publish it: speed depends on no value."""
    model_settings = settings(f"model={model}", f"paths.weights={folder}").model
    torch.manual_seed(0)
    network = make_network(model_settings)
    layout = network.checkpoint
    assert layout is not None
    prefix = "module." if layout.prefixed else ""
    state = {}
    for key, tensor in network.state_dict().items():
        for published, own in layout.rename.items():
            key = key.replace(own, published, 1) if key.startswith(own) else key
        state[prefix + key] = tensor
    content = state if layout.wrapper is None else {layout.wrapper: state}
    assert model_settings.weights is not None
    torch.save(content, model_settings.weights)


def settings(*overrides: str) -> RunSettings:
    """The settings that a command line gives."""
    return RunSettings.of(composed_config("evaluate", overrides))
