"""One run in its folder, and many runs."""
