"""Localization of sounds in any image or video (`vssl-localize`)."""
