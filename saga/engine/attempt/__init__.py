"""Running the user's functions."""
