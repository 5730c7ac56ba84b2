"""The synthetic simulation: seeded regions of clusters, written as The Three Hundred's own files.

`universe.draw_halos` says in milliseconds what a region holds; `region.simulate_region` writes its snapshot
and catalogue.
"""
