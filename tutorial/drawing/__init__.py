"""Cats in code: shapes, coats, rooms and a camera, for data/draw_cats.py."""
