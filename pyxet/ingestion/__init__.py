"""Copies trees into a branch: workers store the content, one driver commits it. The public name is `pyxet.ingest`."""
