"""The embedded benchmark: drawn scenes and synthesized sounds."""
