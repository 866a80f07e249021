"""What a revision is, and what a commit holds."""
