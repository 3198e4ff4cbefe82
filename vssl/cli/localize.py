"""vssl-localize: does anything in this image or video make this sound, and where?"""

from __future__ import annotations

import argparse
import logging
import math
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from vssl.cli.app import command_parser, console_script, finite_number, given_path, whole_number
from vssl.core.errors import UsageError
from vssl.core.files import output_folder


@console_script("evaluate")
def main() -> None:
    """Console script."""
    options = _command_line()
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    picture, sound, options.overrides = split_inputs(options.inputs)
    choices = ("threshold", "policy", "false_alarms")
    given = [f"--{name.replace('_', '-')}" for name in choices if vars(options)[name] is not None]
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)}: each chooses the threshold, so give one of them.")
    for path in filter(None, (picture, sound)):
        if not path.is_file():
            raise UsageError(f"{path}: no such file")
    options.weights = joined_weights(options.weights)
    # torch, once the command line is known to be right
    from vssl.images import is_image
    from vssl.localize.image import localize_image
    from vssl.localize.setup import LocalizeOptions
    from vssl.localize.video import localize_video

    wanted = LocalizeOptions(**{f.name: vars(options)[f.name] for f in fields(LocalizeOptions)})
    output = (options.output or Path("localize")).absolute()
    video = not is_image(picture)
    if sound is None and not video:
        raise UsageError(
            f"{picture}: is an image, which has no sound of its own. Give one behind it:"
            f" vssl-localize {picture.name} sound.wav"
        )
    with output_folder(output):
        if video or sound is None:
            draw = not options.no_video
            localize_video(picture, sound, wanted, output, fps=options.fps, draw_video=draw)
        else:
            localize_image(picture, sound, wanted, output)


def _command_line() -> argparse.Namespace:
    parser = command_parser(
        "vssl-localize",
        "Says whether something in an image, or a video, makes a sound, and where: similarity maps"
        " for the sound, for silence and for noise, and a verdict at one threshold.",
        example="vssl-localize dog.jpg bark.wav --model ezvsl --weights ezvsl.pth"
        " --calibration outputs/ezvsl/vggss/all/corrected/1f6336d0",
        output="(localize)",
    )
    parser.usage = (
        "vssl-localize IMAGE SOUND --model NAME [options] [key=value ...]\n"
        "       vssl-localize VIDEO [SOUND] --model NAME [options] [key=value ...]"
    )
    parser.add_argument(
        "inputs", nargs="+", metavar="FILE",
        help="an image and a sound; or a video, and another sound if not its own; then key=value"
        " as for vssl-evaluate, e.g. protocol=released prior=object_guided seed=1",
    )  # fmt: skip
    parser.add_argument("--model", required=True, metavar="NAME", help="as for vssl-evaluate")
    parser.add_argument(
        "--weights", action="append", type=weights_file, default=[], metavar="FILE",
        help="checkpoint of its authors; of a model with several files PART=FILE for each, as"
        " --weights image=FILE --weights audio=FILE",
    )  # fmt: skip
    parser.add_argument(
        "--calibration", type=given_path, metavar="RUN",
        help="finished run of this model and these weights: to learn the threshold from, and to"
        " say how often a verdict is wrong",
    )  # fmt: skip
    parser.add_argument(
        "--threshold", type=finite_number(), metavar="X", help="threshold of your own"
    )
    parser.add_argument(
        "--policy", metavar="NAME",
        help="threshold policy (universal_q3); fixed and released_* need no run",
    )  # fmt: skip
    parser.add_argument(
        "--false-alarms", metavar="RATE",
        type=finite_number("a number above 0 and below 1, as 0.05 for 5 %", above=0, below=1),
        help="threshold that this share of the calibration run's negatives exceeds at most, 0.05"
        " for 5 %%",
    )  # fmt: skip
    parser.add_argument(
        "--noise-draws", type=whole_number(1), metavar="N", help="how many noises (10)"
    )
    parser.add_argument(
        "--fps", type=_frame_rate, default=5.0, metavar="N",
        help="frames of a video to look at in a second (5), or all",
    )  # fmt: skip
    parser.add_argument("--no-video", action="store_true", help="draw no video, only figures")
    return parser.parse_intermixed_args()


def weights_file(text: str) -> tuple[str, Path]:
    """Read a value of `--weights`: part, empty for the only file, and path."""
    part, _, path = text.partition("=")
    named = "=" in text and part.isidentifier() and not Path(text).exists()
    return (part, given_path(path)) if named else ("", given_path(text))


def joined_weights(given: Sequence[tuple[str, Path]]) -> Path | dict[str, Path] | None:
    """Join the values of `--weights`: one file, or one for each part; None for no value."""
    files = dict(given)
    if len(files) < len(given) or ("" in files and len(files) > 1):
        raise UsageError(
            "--weights: give one FILE, or PART=FILE once for each part, but got"
            f" {' and '.join(f'{part}={path}'.removeprefix('=') for part, path in given)}."
        )
    return files.get("") or files or None


def _frame_rate(text: str) -> float:
    rate = finite_number("a number above 0, as 5, or all", above=0)
    return math.inf if text == "all" else rate(text)


def split_inputs(inputs: Sequence[str]) -> tuple[Path, Path | None, list[str]]:
    """Split a command line into picture, sound if any, and `key=value` words that are no files."""
    overrides = [each for each in inputs if "=" in each and not Path(each).exists()]
    files = [Path(each) for each in inputs if each not in overrides]
    if not 1 <= len(files) <= 2:
        raise UsageError(
            f"Expected an image or video, and a sound, but got {len(files)} files"
            f"{': ' if files else ''}{', '.join(map(str, files))}."
        )
    return files[0], files[1] if len(files) == 2 else None, overrides
