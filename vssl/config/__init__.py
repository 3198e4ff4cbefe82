"""YAML to objects: the configuration composed, checked, and turned into the parts of a run."""
