"""A gallery as a service: a JSON API, and a page to search it for persons."""
