"""Requests and their answers: connections, retries, and how many requests an origin gets at once."""
