"""Background runs: the run host, its queue and its workers. Processes of their own; nobody imports this to use it."""
