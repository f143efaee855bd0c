"""Models of a search's results: what they say of configurations that nobody has tried yet."""
