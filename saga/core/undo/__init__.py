"""Which steps are undone, in which order, and what a retry takes up again."""
