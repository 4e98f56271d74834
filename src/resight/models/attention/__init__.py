"""One attention module per file; each works with any feature map of any trunk."""
