"""What the scripts in data/ share: finding photos, fetching them, and looking after the folders they lie in."""
