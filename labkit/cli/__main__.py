"""`python -m labkit.cli` is the `labkit` program; so it starts its own children."""

from labkit.cli.program import main

if __name__ == "__main__":
    main(prog_name="labkit")
