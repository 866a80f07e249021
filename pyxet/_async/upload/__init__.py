"""Content to the CAS: chunks, deduplication, xorbs, shards."""
