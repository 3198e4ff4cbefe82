"""Libraries of extras: imported late, and asked for in plain words."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from vssl.core.extras import MissingExtraError, extra

LATE = """
import sys

def check(step):
    loaded = [name for name in sys.modules if name.partition(".")[0] == "transformers"]
    assert not loaded, (step, loaded[:3])

import vssl
check("import vssl")
from vssl.cli.main import main
sys.argv = ["vssl", "--help"]
try:
    main()
except SystemExit:
    check("vssl --help")
from vssl.cli.evaluate import main
sys.argv = ["vssl-evaluate", "--dry-run", "model=lvs", "data=synthetic", CHECKPOINT]
try:
    main()
except SystemExit as end:
    assert not end.code
    check("vssl-evaluate model=lvs")
import torchmetrics.functional.text.bert as scores_of_texts
assert scores_of_texts.AutoTokenizer.from_pretrained.__module__.startswith("transformers.")
"""


def test_no_command_waits_for_transformers(
    seeded_checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    """Which torchmetrics would import; what it needs of it is there when it is used."""
    pytest.importorskip("transformers")
    code = LATE.replace("CHECKPOINT", repr(f"model.weights={seeded_checkpoint('lvs')}"))
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "1 job, 0 cannot run" in done.stdout


def test_a_missing_library_is_named_with_what_installs_it() -> None:
    with (
        pytest.raises(MissingExtraError, match=r"^needs not_there: pip install 'vssl\[models\]'$"),
        extra("models"),
    ):
        import not_there.within  # noqa: F401
    with pytest.raises(ValueError, match="another fault"), extra("models"):
        raise ValueError("another fault")
