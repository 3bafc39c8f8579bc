"""`htgen app`: a page in the browser that makes and tries CNNs, served to this machine alone."""
