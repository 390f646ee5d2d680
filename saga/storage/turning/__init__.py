"""Statements that turn a saga round: by hand, for its children, for effects that came late."""
