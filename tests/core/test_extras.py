"""Libraries of extras: imported late, and asked for in plain words."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from vssl.core.extras import MissingExtraError, extra

LATE = """
import sys

def check(step, most, *late):
    loaded = {name for name in sys.modules if name in late or name.partition(".")[0] in late}
    assert not loaded, (step, sorted(loaded)[:3])
    assert len(sys.modules) <= most, (step, len(sys.modules))

def ends(main, *arguments):
    sys.argv = list(arguments)
    try:
        main()
    except SystemExit as end:
        assert not end.code

never = ("transformers", "matplotlib", "scipy.signal", "torch._dynamo", "sympy", "wandb")
from vssl.cli.main import main
ends(main, "vssl", "--help")
check("vssl --help", 250, "torch", "numba", "pandas", "hydra", "numpy", *never)
from vssl.cli.evaluate import main
ends(main, "vssl-evaluate", "--help")
check("vssl-evaluate --help", 900, "torch", "numba", "pandas", *never)
ends(main, "vssl-evaluate", "--dry-run", "model=tiny_san", "data=synthetic")
import vssl.runs.evaluate
check("vssl-evaluate model=tiny_san", 3500, *never)
import torch
from pytorch_lightning.utilities.compile import to_uncompiled
from torchmetrics.utilities.plot import plot_single_or_multi_val
assert plot_single_or_multi_val(torch.ones(1))[0].axes
lightning = sys.modules["pytorch_lightning"].LightningModule()
assert to_uncompiled(torch.compile(lightning)) is lightning
"""


def test_no_command_waits_for_what_it_does_not_use(tmp_path: Path) -> None:
    """Libraries that Lightning and torchmetrics would import; they are there when they are used."""
    done = subprocess.run(
        [sys.executable, "-c", LATE], capture_output=True, text=True, cwd=tmp_path, check=False
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
