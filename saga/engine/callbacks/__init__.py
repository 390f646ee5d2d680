"""Telling others of a saga's end."""
