"""One attention module a file; each fits any trunk that gives it a feature map."""
