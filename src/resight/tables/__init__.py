"""Published tables as data, and what trains, scores and prints their rows."""
