"""A gallery as a web service: a JSON API, and a page to search for persons."""
