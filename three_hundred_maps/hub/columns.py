"""The columns of a row beside its maps, named without importing what reads or writes them."""

from __future__ import annotations

from three_hundred_maps.keys import KEY
from three_hundred_maps.store.schema import HALO_VARIABLES

ROW_FORMAT = 2
"""Raised when the columns change, so that rows cached before are not served as the new ones."""

HALO_COLUMNS = tuple(name for name in HALO_VARIABLES if not name.endswith("_catalogue"))
"""Columns that every line of sight of a halo shares; the catalogue's own values stay in the store."""

COLUMNS = (*KEY, "los", *(name for name in HALO_COLUMNS if name not in KEY), "los_vector")
"""Columns beside the views, in order."""
