"""A gallery that lasts: crops of many cameras, found again by picture."""
