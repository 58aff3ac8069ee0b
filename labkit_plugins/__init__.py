"""The drivers that come with labkit. They use `labkit.plugin` and nothing else of it, exactly as anybody's do."""
