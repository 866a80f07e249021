"""Revisions: which commits they are, and which files and folders these contain."""
