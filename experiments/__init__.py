"""Published figures, installed as `vssl.experiments`."""
