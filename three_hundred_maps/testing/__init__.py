"""Helpers for tests, yours and ours: small finished stores, analytic clusters, small snapshots."""

from three_hundred_maps.testing.analytic import AnalyticCluster, analytic_cluster
from three_hundred_maps.testing.blobs import BlobCluster
from three_hundred_maps.testing.small import SmallSnapshot, small_snapshot
from three_hundred_maps.testing.stores import VIEW_TEXTS, tiny_attrs, tiny_lines_of_sight, tiny_store

__all__ = [
    "VIEW_TEXTS",
    "AnalyticCluster",
    "BlobCluster",
    "SmallSnapshot",
    "analytic_cluster",
    "small_snapshot",
    "tiny_attrs",
    "tiny_lines_of_sight",
    "tiny_store",
]
