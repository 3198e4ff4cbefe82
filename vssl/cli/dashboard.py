"""vssl-dashboard: the wandb dashboard of a project, as a file or saved to the server."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from vssl.cli.app import console_script, given_path
from vssl.core.errors import UsageError
from vssl.core.files import output_folder, write_text

if TYPE_CHECKING:
    from wandb_workspaces.workspaces import Workspace


@console_script("rescore")
def main() -> None:
    """Console script."""
    parser = argparse.ArgumentParser(
        prog="vssl-dashboard",
        description="A wandb dashboard for the runs of vssl-evaluate: F_LOC by model, separation"
        " by negative type, threshold curves, a gallery and the numbers by class. Written as JSON,"
        " without network, unless --save sends it to the server.",
        epilog="example: vssl-dashboard --entity me --project vssl --save",
    )
    parser.add_argument("--entity", required=True, metavar="NAME", help="wandb user or team")
    parser.add_argument("--project", default="vssl", metavar="NAME", help="wandb project (vssl)")
    parser.add_argument(
        "--output", type=given_path, metavar="FILE",
        help="where the JSON goes (default: dashboard.json, with --save nowhere)",
    )  # fmt: skip
    parser.add_argument("--save", action="store_true", help="send it to the server; needs login")
    options = parser.parse_args()
    from rich.console import Console

    from vssl.reporting.dashboard import build_dashboard

    workspace = build_dashboard(options.entity, options.project)
    console = Console(soft_wrap=True)
    if options.save:
        console.print(f"dashboard: {_save(workspace)}")
    if options.output is not None or not options.save:
        output = (options.output or Path("dashboard.json")).absolute()
        # wandb-workspaces has no public way to what it sends
        text = workspace._to_model().model_dump_json(by_alias=True)
        with output_folder(output.parent):
            output.parent.mkdir(parents=True, exist_ok=True)
            write_text(output, json.dumps(json.loads(text), indent=1))
        console.print(f"dashboard as JSON: {output}")


def _save(workspace: Workspace) -> str:
    """Save a dashboard to the server, and return its address."""
    from vssl.engine.wandb_run import NO_KEY, error_line, has_key

    if not has_key():
        raise UsageError(f"--save: {NO_KEY}. Without it the dashboard is written as JSON.")
    try:
        workspace.save()
    except Exception as error:  # of wandb's client, its network or the server, of many types
        raise UsageError(
            f"--save: {workspace.entity}/{workspace.project} took no dashboard"
            f" ({error_line(error)}). Does the project exist, and may you write there?"
        ) from error
    return str(workspace.url)
