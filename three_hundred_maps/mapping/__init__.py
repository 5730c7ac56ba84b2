"""From particles to maps: views, lines of sight, projection."""

import three_hundred_maps.mapping.gas_views
import three_hundred_maps.mapping.star_light  # noqa: F401  # both register their views
from three_hundred_maps.mapping.emissivity import emissivity_source
from three_hundred_maps.mapping.halo_grid import HaloGrid, cutout_radius
from three_hundred_maps.mapping.lines_of_sight import lines_of_sight
from three_hundred_maps.mapping.render import render
from three_hundred_maps.mapping.views import (
    VIEWS,
    GasCuts,
    MapContext,
    View,
    get_view,
    register_view,
)

__all__ = [
    "VIEWS",
    "GasCuts",
    "HaloGrid",
    "MapContext",
    "View",
    "cutout_radius",
    "emissivity_source",
    "get_view",
    "lines_of_sight",
    "register_view",
    "render",
]
