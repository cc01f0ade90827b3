"""What the parts share: photos in, networks, ImageNet weights, training, saved files, pictures."""
