"""Networks, and what they say about a batch of crops."""
