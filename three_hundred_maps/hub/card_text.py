"""The texts of the card that are the same for every data set; `str.format` fills the names in."""

from importlib.resources import files

from three_hundred_maps.display import sections

TEXTS = sections(files(__package__).joinpath("card.md"))
"""The sections of ``card.md`` by name."""
