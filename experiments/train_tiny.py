"""The earlier name of `vssl-train`.

    python experiments/train_tiny.py model=tiny_san

is `vssl-train model=tiny_san`, which made the bundled models (docs/training.md).
"""

from vssl.cli.train import main

if __name__ == "__main__":
    main()
