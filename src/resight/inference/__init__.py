"""Any model, ready to embed pictures: loading, embedding, runtimes."""
