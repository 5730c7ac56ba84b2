"""From particles to maps: views, lines of sight, projection."""
