"""Where tasks run: in this process or in worker processes; an engine knows nothing of shards."""
