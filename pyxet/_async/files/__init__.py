"""File objects for reading and for writing."""
