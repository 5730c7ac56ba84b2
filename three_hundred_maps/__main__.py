"""``python -m three_hundred_maps``: the command ``three-hundred-maps``."""

from three_hundred_maps.cli import main

if __name__ == "__main__":
    main()
