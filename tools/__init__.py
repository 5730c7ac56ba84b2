"""Tools for maintainers: campaigns, generated pages, speed benchmarks; not part of the installed package."""
