"""Tests of `vssl.demo`."""
