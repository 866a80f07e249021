"""Uploads content to the CAS: chunks, deduplication, xorbs, shards."""
