"""Localization models and the strict, safe loading of their checkpoints."""
