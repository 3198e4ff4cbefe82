"""Metrics: one per-sample function and one thin torchmetrics class per file."""
