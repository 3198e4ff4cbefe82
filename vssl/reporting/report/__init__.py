"""A report over finished runs: the paper's tables and figures, and a page to look at them."""
