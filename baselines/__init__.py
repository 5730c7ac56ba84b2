"""Baselines: the paper's U-Nets and what needs no network."""
