"""Hydra configuration of vssl; installed as the package vssl.conf."""
