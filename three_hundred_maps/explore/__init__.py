"""A page in the browser on a store's own Zarr: ``three-hundred-maps explore STORE``.

The page (``page/``) is static: it reads the store's chunks itself, from this machine's server, from the Hub
or from any host that answers range requests.
"""

from three_hundred_maps.explore.server import explorer_server, write_page

__all__ = ["explorer_server", "write_page"]
