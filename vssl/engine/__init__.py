"""Lightning: one pass over a test set, from images and sounds to records."""
