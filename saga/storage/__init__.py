"""All SQL, and the rows it takes and gives."""
