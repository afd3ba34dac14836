"""Running algorithms: the run and its states, where it happens, what it may reach, what is kept of it."""
