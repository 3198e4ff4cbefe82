"""Console scripts: the only code that knows Hydra."""
