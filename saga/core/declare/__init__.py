"""What a user declares: steps, sagas, their options and types."""
