"""vssl-demo: a page on this machine to change the sound of a picture and watch the map."""

from __future__ import annotations

import logging
import os
import signal
import tempfile

from vssl.cli.app import command_parser, console_script, given_path, whole_number
from vssl.cli.localize import joined_weights, weights_file
from vssl.config.compose import composed_config


@console_script("evaluate")
def main() -> None:
    """Console script."""
    parser = command_parser(
        "vssl-demo",
        "Opens a page on this machine: choose or drop a picture, a video and a sound, and see a"
        " model's map under that sound, silence, noise and other sounds, a verdict, and how often"
        " it is wrong.",
        example="vssl-demo --model tiny_deaf; vssl-demo --model ezvsl --weights ezvsl.pth"
        " --calibration RUN",
        overrides="paths.weights=DIR data=vggss data.root=DIR protocol=released",
    )
    parser.add_argument(
        "--model", default="tiny_san", metavar="NAME", help="shown first (tiny_san)"
    )
    parser.add_argument(
        "--weights", action="append", type=weights_file, default=[], metavar="FILE",
        help="of this model, as for vssl-localize; of others in paths.weights",
    )  # fmt: skip
    parser.add_argument(
        "--calibration", type=given_path, metavar="RUN",
        help="finished run of this model and these weights, to say how often a verdict is wrong;"
        " models that come with vssl need none",
    )  # fmt: skip
    parser.add_argument("--port", type=whole_number(1, 65535), metavar="N", help="(7860, or next)")
    options = parser.parse_intermixed_args()
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    weights = joined_weights(options.weights)
    of_data = [word for word in options.overrides if word.startswith(("data=", "data."))]
    others = [word for word in options.overrides if word not in of_data]
    composed_config("evaluate", [f"model={options.model}", *others])  # before libraries are loaded
    for name in {"SIGTERM", "SIGHUP"} & set(dir(signal)):  # as Ctrl-C, so that uploads go too
        signal.signal(getattr(signal, name), signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="vssl-demo-") as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder  # which Gradio reads when it is imported
        from vssl.demo.inputs import scene_samples
        from vssl.demo.page import Page
        from vssl.demo.studio import Studio
        from vssl.localize.setup import LocalizeOptions

        wanted = LocalizeOptions(
            options.model, weights, calibration=options.calibration, overrides=others
        )
        Page(Studio(wanted), scene_samples(of_data)).serve(options.port)
