"""Snapshots: every format told by its content."""
