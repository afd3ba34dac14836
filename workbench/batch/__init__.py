"""Many runs: notebooks as templates with typed parameters, and sweeps over the points of their parameters."""
