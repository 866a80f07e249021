"""Changes on their way into commits: pending changes, transactions, and the commits that they become."""
