"""Snapshots and halo catalogues: reading, cut-outs, measurements, and the synthetic simulation."""
