"""The page of a report: one file to look around in."""
