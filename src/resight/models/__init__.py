"""Networks, and their output for a batch of crops."""
