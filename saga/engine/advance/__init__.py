"""Deciding what a saga does next, and landing it."""
