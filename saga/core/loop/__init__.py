"""The deterministic event loop on which a saga's code runs, and its journal."""
