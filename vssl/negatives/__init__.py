"""Audio conditions: the positive and the negatives a model is shown beside each image."""
