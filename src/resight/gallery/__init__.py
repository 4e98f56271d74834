"""A persistent gallery: crops of many cameras, searched by picture."""
