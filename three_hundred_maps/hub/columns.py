"""The columns of a row beside its maps, named without importing what reads or writes them."""

from __future__ import annotations

from three_hundred_maps.keys import KEY
from three_hundred_maps.store.schema import HALO_VARIABLES, Variable

ROW_FORMAT = 4
"""Raised when columns or their units change, so that rows cached before are not served as the new ones."""

LOS = Variable("los", ("los",), "int32", "1", "number of the line of sight")
LOS_VECTOR = Variable(
    "los_vector", ("los", "xyz"), "float64", "1", "unit vector to the observer, in the simulation box"
)

COLUMN_VARIABLES: dict[str, Variable] = {
    **{name: HALO_VARIABLES[name] for name in KEY},
    LOS.name: LOS,
    # The catalogue's own values stay in the store.
    **{n: v for n, v in HALO_VARIABLES.items() if n not in KEY and not n.endswith("_catalogue")},
    LOS_VECTOR.name: LOS_VECTOR,
}
"""Type, unit and meaning of each column beside the views, in order."""

COLUMNS = tuple(COLUMN_VARIABLES)
