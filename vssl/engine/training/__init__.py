"""Training of models, with or without negative audio."""
