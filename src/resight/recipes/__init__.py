"""The recipes that come with Resight, as YAML."""
