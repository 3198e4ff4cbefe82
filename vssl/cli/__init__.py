"""Console scripts: each parses its words, calls one function below, and prints."""
