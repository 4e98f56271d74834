"""Where a gallery is stored: a folder on disk or a Qdrant cluster."""
