"""Near duplicates: the same photo again, resized, recompressed, brightened, cropped a little or flipped.

A fingerprint is 128 bits: pHash (the signs of the lowest frequencies) and dHash (the signs of the differences between
neighboring pixels), 64 bits each, both from the ImageHash package. Copies differ in few of the bits.
"""

import numpy as np
from PIL import Image, ImageOps

# Measured by benchmarks/prune.py on 3,106 real photos, 4.8 million pairs, where the copies are the 137 photos that
# are in both sets, 0 bits apart, and two dogs, 1 bit apart; no other pair is nearer than 24. Copies made of 250 are
# within 20 bits when shrunk, upscaled, flipped, made gray, saved as JPEG of quality 10 or cropped by 2% at each edge
# (all 100%), 1.3 times as bright (99.6%), or cropped by 4% at each edge (94%).
NEAR = 20  # bits of 128


def fingerprint(photo: Image.Image) -> np.ndarray:
    """The bits of one photo: uint64, (2, 2), pHash and dHash, of the photo and of its horizontal flip."""
    import imagehash

    # Both hashes use at most 32 x 32 pixels: resizing once for all four is four times as fast.
    small = photo.convert("L").resize((64, 64), Image.Resampling.BOX)
    hashes = [hash_of(one) for one in (small, ImageOps.mirror(small)) for hash_of in (imagehash.phash, imagehash.dhash)]
    return np.packbits([one.hash.ravel() for one in hashes], axis=1).view(np.uint64).reshape(2, 2)


def near_pairs(fingerprints: np.ndarray, near: int = NEAR) -> list[tuple[int, int, int]]:
    """Every two photos that are near duplicates: compares all pairs, 10,000 photos in some seconds.

    Args:
        fingerprints: uint64, (n, 2, 2), from :func:`fingerprint`.
        near: how many of the 128 bits may differ.

    Returns:
        (i, j, bits that differ), i < j, positions in ``fingerprints``.
    """
    pairs = []
    for i in range(len(fingerprints) - 1):
        # Photo i and its flip, against every later photo.
        bits = np.bitwise_count(fingerprints[i][:, None] ^ fingerprints[i + 1 :, 0]).sum(axis=2).min(axis=0)
        pairs += [(i, i + 1 + int(j), int(bits[j])) for j in np.flatnonzero(bits <= near)]
    return pairs


def groups(count: int, pairs: list[tuple[int, int, int]]) -> list[list[int]]:
    """Connected components: each of 0 .. count - 1 is in exactly one group, most of them alone; in order.

    Two photos that are both near a third are in one group, even if they are not near each other.
    """
    parent = list(range(count))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = i = parent[parent[i]]
        return i

    for i, j, _ in pairs:
        first, second = sorted((root(i), root(j)))
        parent[second] = first
    found: dict[int, list[int]] = {}
    for i in range(count):
        found.setdefault(root(i), []).append(i)
    return list(found.values())


def near_groups(fingerprints: list[np.ndarray], near: int = NEAR) -> list[list[int]]:
    """:func:`groups` of near duplicates among photos given by their fingerprints, each uint64, (2, 2)."""
    if not fingerprints:
        return []
    return groups(len(fingerprints), near_pairs(np.stack(fingerprints), near))
