"""Snapshots and catalogues as files, in the forms that real codes write."""
