"""Words become calls: what magics and the command line share, so that both read the same and answer the same."""
