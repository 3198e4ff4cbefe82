"""Test sets: readers, ground truth, datasets and the Lightning datamodule."""
