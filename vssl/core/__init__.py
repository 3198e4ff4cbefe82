"""Helpers that know nothing of the field: errors, checks, files, hashes, devices, progress."""
