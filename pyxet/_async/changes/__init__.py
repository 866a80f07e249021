"""What is about to be committed: pending changes, transactions, commits."""
