"""Reads content from the CAS: plans, windows, batches, files on disk."""
