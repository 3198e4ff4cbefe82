"""vssl-localize: does anything in this image or video make this sound, and where?"""

from __future__ import annotations

import argparse
import logging
import math
import mimetypes
import re
from collections.abc import Sequence
from pathlib import Path

from vssl.commands.app import given_path, quieten_libraries, run_app, whole_number
from vssl.commands.options import OPTIONS
from vssl.errors import UsageError
from vssl.records.files import output_folder


def main() -> None:
    """Console script."""
    quieten_libraries()
    run_app(_main, "evaluate")


def _main() -> None:
    options = _parse()
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    picture, sound, overrides = split_inputs(options.inputs)
    given = {
        name: value
        for name, value in (
            ("--threshold", options.threshold),
            ("--policy", options.policy),
            ("--false-alarms", options.false_alarms),
        )
        if value is not None
    }
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)}: each chooses the threshold, so give one of them.")
    from vssl.commands.localize_setup import set_up
    from vssl.commands.localize_threshold import Wanted
    from vssl.images import is_image

    for path in filter(None, (picture, sound)):
        if not path.is_file():
            raise UsageError(f"{path}: no such file")
    wanted = Wanted(
        model=options.model,
        weights=options.weights,
        threshold=options.threshold,
        calibration=options.calibration,
        policy=options.policy,
        false_alarms=options.false_alarms,
        noise_draws=options.noise_draws,
        config_dir=options.config_dir,
        overrides=overrides,
    )
    output = options.output.absolute()
    if not is_image(picture):
        from vssl.commands.localize_video import localize_video

        with output_folder(output):
            localize_video(
                picture, sound, lambda: set_up(wanted), output,
                fps=options.fps, draw_video=not options.no_video,
            )  # fmt: skip
        return
    if sound is None:
        raise UsageError(
            f"{picture}: is an image, which has no sound of its own. Give one behind it:"
            f" vssl-localize {picture.name} sound.wav"
        )
    from vssl.commands.localize_image import localize_image

    with output_folder(output):
        localize_image(picture, sound, lambda: set_up(wanted), output)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="vssl-localize",
        usage="vssl-localize IMAGE SOUND --model NAME [options] [key=value ...]\n"
        "       vssl-localize VIDEO [SOUND] --model NAME [options] [key=value ...]",
        description="Says whether something in an image, or a video, makes a sound, and where:"
        " similarity maps for the sound, for silence and for noise, and a verdict at one"
        " threshold.",
        epilog="example: vssl-localize dog.jpg bark.wav --model ezvsl --weights ezvsl.pth"
        " --calibration outputs/ezvsl/vggss/all/corrected/1f6336d0",
    )
    parser.add_argument(
        "inputs", nargs="+", metavar="FILE",
        help="an image and a sound; or a video, and another sound if not its own; then key=value"
        " as for vssl-evaluate, e.g. protocol=released prior=object_guided seed=1",
    )  # fmt: skip
    parser.add_argument("--model", required=True, metavar="NAME", help="as for vssl-evaluate")
    parser.add_argument(
        "--weights", type=given_path, metavar="FILE", help="checkpoint of its authors"
    )
    parser.add_argument(
        "--calibration", type=given_path, metavar="RUN",
        help="finished run of this model and these weights: to learn the threshold from, and to"
        " say how often a verdict is wrong",
    )  # fmt: skip
    parser.add_argument("--threshold", type=_number, metavar="X", help="threshold of your own")
    parser.add_argument(
        "--policy", metavar="NAME",
        help="threshold policy (universal_q3); fixed and released_* need no run",
    )  # fmt: skip
    parser.add_argument(
        "--false-alarms", type=_share, metavar="RATE",
        help="threshold that this share of the calibration run's negatives exceeds at most, 0.05"
        " for 5 %%",
    )  # fmt: skip
    parser.add_argument(
        "--output", type=given_path, default=Path("localize"), metavar="DIR", help="(localize)"
    )
    parser.add_argument(
        "--noise-draws", type=whole_number(1), metavar="N", help="how many noises (10)"
    )
    parser.add_argument(
        "--fps", type=_rate, default=5.0, metavar="N",
        help="frames of a video to look at in a second (5), or all",
    )  # fmt: skip
    parser.add_argument("--no-video", action="store_true", help="draw no video, only figures")
    parser.add_argument(
        "--config-dir", type=given_path, metavar="DIR", help="folder with configuration of your own"
    )
    return parser.parse_intermixed_args()


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"expected a number, got {text}")
    return value


def _share(text: str) -> float:
    value = _number(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(
            f"expected a share above 0 and below 1, as 0.05 for 5 %, got {text}"
        )
    return value


def _rate(text: str) -> float:
    if text == "all":
        return math.inf
    value = _number(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"expected a number above 0 or all, got {text}")
    return value


def split_inputs(inputs: Sequence[str]) -> tuple[Path, Path | None, list[str]]:
    """Files and overrides of a command line: picture, sound if any, `key=value`.

    Raises:
        UsageError: for no file, or more than two.
    """
    overrides = [each for each in inputs if "=" in each and not _is_file(each)]
    files = [Path(each) for each in inputs if each not in overrides]
    if not 1 <= len(files) <= 2:
        raise UsageError(
            f"Expected an image or video, and a sound, but got {len(files)} files"
            f"{': ' if files else ''}{', '.join(map(str, files))}."
        )
    return files[0], files[1] if len(files) == 2 else None, overrides


def _is_file(word: str) -> bool:
    """Whether a word with `=` names a file: one that is there, or of a picture, sound or video."""
    if Path(word).exists():
        return True
    kind = (mimetypes.guess_type(word)[0] or "").partition("/")[0]
    key = re.split(r"[=.@]", word.lstrip("+~"))[0]
    return kind in ("image", "audio", "video") and key not in _GROUPS and word[0] not in "+~"


_GROUPS = {key.partition(".")[0] for key in OPTIONS} | {"experiment", "hydra", "metrics"}


if __name__ == "__main__":
    main()
