"""Threshold policies: how a localization map becomes a binary mask."""
