"""One reader a file: it recognises a layout on disk and returns a Benchmark."""
