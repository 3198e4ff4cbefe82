"""Make a virtual environment with vssl and all for development, and show how far it is.

python .ci/install.py FOLDER [cpu]
"""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

CPU_INDEX = "https://download.pytorch.org/whl/cpu"
LARGE = 100  # megabytes from which a file gets a line


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def make_environment(folder: Path) -> None:
    """Make the folder, or end with a line on what Python lacks."""
    command = [sys.executable, "-m", "venv", str(folder)]
    if subprocess.run(command, capture_output=True).returncode:
        shutil.rmtree(folder, ignore_errors=True)
        sys.exit(
            f"{folder} cannot be made: {sys.executable} lacks the module venv, or the folder cannot"
            " be written. On Debian and Ubuntu: apt install python3-venv."
        )


def install(folder: Path, arguments: list[str], packages: int) -> None:
    """Run pip, and print a line for each large file and each thirtieth package."""
    pip = [str(folder / "bin" / "python"), "-u", "-m", "pip", "--disable-pip-version-check"]
    command = [*pip, "install", "--progress-bar=off", "-c", "constraints.txt", *arguments]
    found, megabytes, failure, waiting = 0, 0.0, "", False
    log_path = folder / "install.log"
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with log_path.open("a") as log, subprocess.Popen(command, text=True, **pipes) as run:
        assert run.stdout is not None
        for line in run.stdout:
            log.write(line)
            if size := re.search(r"(?:Downloading|Using cached) (\S+) \(([\d.]+) ([kMG])B\)", line):
                file = float(size[2]) * {"k": 1e-3, "M": 1.0, "G": 1e3}[size[3]]
                megabytes += file
                if file > LARGE:
                    say(f"   {size[1].rpartition('/')[2].partition('-')[0]}, {file:.0f} MB")
            elif re.match(r"Collecting |Processing .*whl", line):
                found += 1
                if found % 30 == 0:
                    say(f"   {found} of about {packages} packages, {megabytes:.0f} MB fetched")
            elif line.startswith("Installing collected packages"):
                say(f"   writing {line.count(',') + 1} packages to the disk: a minute or two")
            elif "Retrying" in line and not waiting:
                waiting = True
                say("   no answer from the package index: trying again")
            elif line.startswith(("ERROR: ", "error: ")) and not failure:
                failure = line.strip().partition(": ")[2]
    if run.returncode:
        hint = " Without a network: docs/install.md." if waiting else ""
        failure = failure.rstrip(".") or "pip failed"
        sys.exit(f"Not installed: {failure}.{hint} All that pip said: {log_path}")


def main() -> None:
    """Make the environment and install torch, then vssl."""
    began, folder, cpu = time.monotonic(), Path(sys.argv[1]), sys.argv[2:] == ["cpu"]
    version = platform.python_version()
    if sys.version_info < (3, 11):  # noqa: UP036 it runs before vssl can be installed
        sys.exit(
            f"vssl needs Python 3.11 or newer, and {sys.executable} is {version}."
            " Name another: make install PYTHON=python3.12"
        )
    packages = sum("==" in line for line in Path("constraints.txt").read_text().splitlines())
    say(
        f"vssl and its development tools go into {folder} (Python {version}): about {packages}"
        " packages and 3 GB, some 5 GB more where torch comes with CUDA. Takes a few minutes."
    )
    if sys.platform == "linux" and not cpu and not shutil.which("nvidia-smi"):
        say("No NVIDIA driver is found: `make install CPU=1` takes torch without CUDA.")
    say(f"1 of 3: {folder}")
    if not (folder / "bin" / "python").exists():
        make_environment(folder)
    say("2 of 3: torch")
    install(folder, ["torch", *(["--extra-index-url", CPU_INDEX] if cpu else [])], packages)
    say("3 of 3: vssl and the rest")
    install(folder, ["-e", ".[dev]"], packages)
    say(f"Installed in {time.monotonic() - began:.0f} s: . {folder}/bin/activate")


if __name__ == "__main__":
    main()
