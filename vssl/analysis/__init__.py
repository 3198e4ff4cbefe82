"""Questions asked of finished runs: comparisons, threshold studies, the released export."""
