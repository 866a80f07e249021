"""The transfer agent for git-lfs, its registration, clones, and credentials for git."""
