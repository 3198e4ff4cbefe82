"""Per-sample records, the scores computed from them, and their summary."""
