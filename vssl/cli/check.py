"""vssl-check: what vssl understands of a test set, its faults, and a picture of its samples."""

from __future__ import annotations

import sys

from vssl.cli.app import command_parser, console_script, output_as_option


@console_script("evaluate")
def main() -> None:
    """Console script."""
    parser = command_parser(
        "vssl-check",
        "Reads a test set as an evaluation would, every file of it, and says what it understood:"
        " annotation, ground truth, categories, sounds, images, oddities and faults. Draws some"
        " samples with ground truth and waveform. Ends with status 1 where there are faults.",
        example="vssl-check data=folder data.root=/data/mine",
        overrides="data=folder, data.root=FOLDER; with model=NAME also what its front end needs",
        output="folder of contact_sheet.png, left_out.csv and data_notes.csv, or a .png file"
        " (default: check-<data>; output=DIR means the same)",
    )
    options = parser.parse_intermixed_args(output_as_option(sys.argv[1:]))
    from vssl.runs.check import check_data_set

    sys.exit(0 if check_data_set(options.overrides, options.output) else 1)
