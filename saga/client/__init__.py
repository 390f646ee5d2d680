"""What other programs and operators ask for: starts, signals, results, undoing by hand."""
