"""Whatever comes, labkit says what is wrong with it, and nothing has changed: `make fuzz`, and a small form of it."""
