"""Tables: one model, one list of columns, one renderer for each output."""
