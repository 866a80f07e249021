"""Concurrency that does not depend on Xet: budgets, worker threads, tasks, the bridge for blocking callers."""
