"""The Zarr store: schema, writer, reader, manifest, statistics."""
