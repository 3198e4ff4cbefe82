"""vssl-prepare: the frames and sounds of a test set, from its videos."""

from __future__ import annotations

from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from vssl.cli.app import console_script
from vssl.config import compose  # noqa: F401, registers resolvers
from vssl.config.options import check_options
from vssl.core.errors import UsageError

_NO_VIDEOS = (
    "data={}: is not made from videos. Choose data=vggss, data=extended_vggss or data=folder."
)


@console_script("prepare")
@hydra.main(version_base="1.3", config_path="pkg://vssl.conf", config_name="prepare")
def main(config: DictConfig) -> None:
    """Console script."""
    check_options(config)
    chosen = str(HydraConfig.get().runtime.choices["data"])
    if "root" not in config.data:
        raise UsageError(_NO_VIDEOS.format(chosen))
    if config.videos is None:
        raise UsageError("videos is not set. Set videos=<folder of the videos>.")
    from vssl.config.networks import make  # torch
    from vssl.config.settings import DataSettings
    from vssl.data.vggss import VGGSS
    from vssl.runs import prepare
    from vssl.videos import MIDDLE_SLOT

    root = Path(config.data.root).expanduser().absolute()
    videos = Path(config.videos).expanduser().absolute()
    own = chosen == "folder"
    suffix = str(config.data.get("image_suffix") or ".jpg")
    slot = None if own else MIDDLE_SLOT
    rule = prepare.rule_of(config.frame, config.sound, slot=slot, suffix=suffix)
    work = {"force": config.force, "workers": config.workers}
    if own:
        work |= {"annotation": config.data.annotation, "skip": config.data.missing == "skip"}
        prepare.prepare_folder(root, videos, rule, **work)
        return
    group = {**config.data}
    if "annotation" in group:
        group["annotation"] = prepare.place_annotation(group["annotation"], root)
    reader = make(DataSettings.of(group).reader)
    if not isinstance(reader, VGGSS):
        raise UsageError(_NO_VIDEOS.format(chosen))
    prepare.prepare_listed(reader, videos, rule, **work)
