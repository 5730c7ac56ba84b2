"""From particles to maps: views, lines of sight, projection."""

from three_hundred_maps.mapping.emissivity import EmissivitySource, emissivity_source
from three_hundred_maps.mapping.gas_views import entropy_keV_cm2, kinetic_area, metallicity
from three_hundred_maps.mapping.halo_grid import HaloGrid, cutout_radius
from three_hundred_maps.mapping.lines_of_sight import lines_of_sight
from three_hundred_maps.mapping.render import BACKENDS, render
from three_hundred_maps.mapping.star_light import magnitude
from three_hundred_maps.mapping.views import (
    VIEWS,
    GasCuts,
    MapContext,
    View,
    get_view,
    register_view,
)

__all__ = [
    "BACKENDS",
    "VIEWS",
    "EmissivitySource",
    "GasCuts",
    "HaloGrid",
    "MapContext",
    "View",
    "cutout_radius",
    "emissivity_source",
    "entropy_keV_cm2",
    "get_view",
    "kinetic_area",
    "lines_of_sight",
    "magnitude",
    "metallicity",
    "register_view",
    "render",
]
