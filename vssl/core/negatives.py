"""The paper's three negatives."""

NEGATIVE_TYPES = ("silence", "noise", "offscreen")
"""Audio conditions over which F_LOC and F_AUC average, in the order of tables."""

ALL_NEGATIVES = "all"
"""Condition under which numbers over all three are reported."""
