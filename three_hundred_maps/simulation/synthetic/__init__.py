"""The embedded synthetic simulation: particles in the same files as real ones."""
