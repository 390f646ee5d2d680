"""What falls between workers is found here."""
