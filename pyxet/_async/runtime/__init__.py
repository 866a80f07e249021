"""Concurrency that knows nothing of Xet: budgets, worker threads, tasks, the bridge for blocking callers."""
