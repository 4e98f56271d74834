"""A gallery as a service: a JSON API and a page on which a person looks for a person."""
