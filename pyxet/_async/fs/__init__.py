"""`AsyncXetFileSystem`: the adapter between fsspec and the rooms beneath."""
