"""The embedded benchmark: scenes that are drawn, and sounds that are synthesized."""
