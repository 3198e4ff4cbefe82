"""Figures: one function for each, and the pictures of samples."""
