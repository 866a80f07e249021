"""Content from the CAS: plans, windows, batches, files on disk."""
