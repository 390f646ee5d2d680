"""The hot statements: one round trip for a whole batch."""
