"""From ideal maps to what a telescope would see: levels, operators, the observer's frame, stores of it."""
