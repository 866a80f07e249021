"""`AsyncXetFileSystem`: the adapter between fsspec and the packages below it."""
