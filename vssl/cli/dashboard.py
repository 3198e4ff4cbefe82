"""vssl-dashboard: wandb dashboards for some runs, as files or saved to the server."""

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
        description="A wandb dashboard for everything that runs of vssl-evaluate have logged, under"
        " each audio condition, metric and threshold policy; and one for each of several models."
        " Written as JSON, without network, unless --save sends them to the server.",
        epilog="example: vssl-dashboard outputs --entity me --project vssl --save",
    )
    parser.add_argument(
        "runs", nargs="*", metavar="RUN", type=given_path, default=[Path("outputs")],
        help="folders of finished runs, or above them (default: outputs)",
    )  # fmt: skip
    parser.add_argument("--entity", required=True, metavar="NAME", help="wandb user or team")
    parser.add_argument("--project", default="vssl", metavar="NAME", help="wandb project (vssl)")
    parser.add_argument("--group", default="", metavar="NAME", help="show this group's runs alone")
    parser.add_argument(
        "--output", type=given_path, metavar="FILE",
        help="where the JSON goes (default: dashboard.json, with --save nowhere); that of a model"
        " into FILE-MODEL",
    )  # fmt: skip
    parser.add_argument("--save", action="store_true", help="send it to the server; needs login")
    options = parser.parse_intermixed_args()
    from rich.console import Console

    from vssl.config.report import import_metrics
    from vssl.reporting.dashboard import build_dashboard, logged_numbers

    import_metrics()
    numbers = logged_numbers(options.runs)
    models = list(numbers["model"].unique())
    console = Console(soft_wrap=True)
    place, group = (options.entity, options.project), options.group
    for model in ("", *(models if len(models) > 1 else ())):
        workspace = build_dashboard(*place, numbers, model=model, group=group)
        if options.save:
            console.print(f"dashboard: {_save(workspace)}")
        if options.output is None and options.save:
            continue
        output = (options.output or Path("dashboard.json")).absolute()
        output = output.with_stem(f"{output.stem}-{model}" if model else output.stem)
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
