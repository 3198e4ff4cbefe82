"""Check that an sdist has the repository's files, and a wheel the package's, and nothing else.

python .ci/contents.py FOLDER_OF_BOTH
"""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

GENERATED = re.compile(r"PKG-INFO|vssl\.egg-info/.*|vssl-[^/]*\.dist-info/.*")
PACKAGED = re.compile(r"vssl/.*|conf/.*|experiments/[^/]*\.(py|csv)")


def main() -> None:
    """End with the names that differ."""
    folder = Path(sys.argv[1])
    listed = subprocess.run(["git", "ls-files"], capture_output=True, text=True, check=True)
    tracked = set(listed.stdout.splitlines())
    with tarfile.open(next(folder.glob("*.tar.gz"))) as sdist:
        packed = {each.name.partition("/")[2] for each in sdist if each.isfile()}
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        installed = {name.removeprefix("vssl/") for name in wheel.namelist()}
    package = {name.removeprefix("vssl/") for name in tracked if PACKAGED.fullmatch(name)}
    for kind, wanted, found in (("sdist", tracked, packed), ("wheel", package, installed)):
        found = {name for name in found if not GENERATED.fullmatch(name)}
        if differ := sorted(wanted ^ found):
            sys.exit(f"the {kind} differs from the repository in {', '.join(differ)}")
        sys.stdout.write(f"{kind}: {len(found)} files, those of the repository\n")


if __name__ == "__main__":
    main()
