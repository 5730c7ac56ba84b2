"""Halo catalogues."""
