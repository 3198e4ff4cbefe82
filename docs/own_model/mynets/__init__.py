"""Two models of one's own for vssl: docs/own-model.md."""
