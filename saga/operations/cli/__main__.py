"""`python -m saga.operations.cli`."""

from saga.operations.cli import main

if __name__ == "__main__":
    main(prog_name="saga")
