"""Cats drawn in code: shapes, coats, rooms and a camera, for data/draw_cats.py."""

import photo_tools  # noqa: F401  where the tutorial's packages are missing, it prints the remedy
