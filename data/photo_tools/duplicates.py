"""Near duplicates: the same photo again, resized, recompressed, brightened, cropped a little or flipped.

A fingerprint is 128 bits: pHash (the signs of the lowest frequencies) and dHash (the signs of the differences between
neighboring pixels), 64 bits each, both from the ImageHash package. Copies differ in few of the bits.
"""

from collections.abc import Iterator
from itertools import combinations

import numpy as np
from PIL import Image, ImageOps

# Measured by benchmarks/prune.py on 3,106 real photos, 4.8 million pairs, where the copies are the 137 photos that
# are in both sets, 0 bits apart, and two dogs, 1 bit apart; no other pair is nearer than 24. Copies made of 250 are
# within 20 bits when shrunk, upscaled, flipped, made gray, saved as JPEG of quality 10 or cropped by 2% at each edge
# (all 100%), 1.3 times as bright (99.6%), or cropped by 4% at each edge (94%).
NEAR = 20  # bits of 128
BANDS = 8  # of 16 bits each
BLOCK = 2**17  # candidates that are compared at a time: they fit the processor's cache


def fingerprint(photo: Image.Image) -> np.ndarray:
    """The bits of one photo: uint64, (2, 2), pHash and dHash, of the photo and of its horizontal flip."""
    import imagehash

    # Both hashes use at most 32 x 32 pixels: resizing once for all four is four times as fast.
    small = photo.convert("L").resize((64, 64), Image.Resampling.BOX)
    hashes = [hash_of(one) for one in (small, ImageOps.mirror(small)) for hash_of in (imagehash.phash, imagehash.dhash)]
    return np.packbits([one.hash.ravel() for one in hashes], axis=1).view(np.uint64).reshape(2, 2)


def near_pairs(fingerprints: np.ndarray, near: int = NEAR) -> np.ndarray:
    """Every two photos that are near duplicates, found without comparing all pairs.

    Multi-index hashing (M. Norouzi et al., Fast Exact Search in Hamming Space with Multi-Index Hashing, 2014): the 128
    bits are eight bands of 16, and two fingerprints that differ in at most ``near`` bits differ in at most an eighth of
    that in one of the bands. So each band is a table, looked up by every value that is so near, and only what is found
    there is compared in full. No pair is missed (time: ``benchmarks/growth.md``).

    Args:
        fingerprints: uint64, (n, 2, 2), from :func:`fingerprint`.
        near: how many of the 128 bits may differ.

    Returns:
        int64, (pairs, 3), sorted: positions i < j in ``fingerprints``, and the number of bits that differ between photo
        i, or its flip, and photo j.
    """
    count = len(fingerprints)
    words = np.ascontiguousarray(np.moveaxis(fingerprints, 0, 2))
    # A band is one row of pHash's 8 x 8 bits and one of dHash's: neighboring bits are alike, distant ones are not.
    rows = np.ascontiguousarray(fingerprints).view(np.uint8).reshape(count, 2, 2, 8)
    bands = np.ascontiguousarray(rows.swapaxes(2, 3)).view(np.uint16)[..., 0].astype(np.int32)
    found = np.empty(0, np.int64)  # 256 (i n + j) + bits: sorted, a pair's fewest bits come first
    for band in range(BANDS):
        # If each band differed in one bit more than its (near - band) // 8, near + 1 bits would differ in all.
        masks = [
            sum(1 << bit for bit in some)
            for k in range((near - band) // BANDS + 1)
            for some in combinations(range(16), k)
        ]
        order = np.argsort(bands[:, 0, band], kind="stable").astype(np.int32)
        starts = np.searchsorted(bands[order, 0, band], np.arange(2**16 + 1)).astype(np.int32)
        new = [found]
        for flip in (0, 1):
            for some in np.array_split(np.arange(count, dtype=np.int32), 1 + count * len(masks) // BLOCK):
                values = (bands[some, flip, band, None] ^ np.array(masks, np.int32)).ravel()
                for i, place in _members(np.repeat(some, len(masks)), starts[values], starts[values + 1]):
                    j = order[place]
                    i, j = i[j > i], j[j > i]
                    bits = np.bitwise_count(words[flip, 0, i] ^ words[0, 0, j])
                    bits += np.bitwise_count(words[flip, 1, i] ^ words[0, 1, j])
                    close = bits <= near
                    new.append((i[close] * np.int64(count) + j[close]) * 256 + bits[close])
        found = np.sort(np.concatenate(new))
        found = found[np.diff(found >> 8, prepend=-1) > 0]
    pairs, bits = np.divmod(found, 256)
    return np.column_stack([*np.divmod(pairs, count), bits])


def _members(rows: np.ndarray, first: np.ndarray, end: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Each row with each of ``first`` .. ``end - 1``, in blocks that stay small however many those are."""
    (some,) = np.nonzero(end > first)
    rows, first, size = rows[some], first[some], (end - first)[some]
    total = np.cumsum(size)
    cuts = np.searchsorted(total, np.arange(BLOCK, total[-1] if len(total) else 0, BLOCK))
    for one in np.split(np.arange(len(rows)), cuts):
        sizes = size[one]
        skipped = np.repeat(np.cumsum(sizes) - sizes - first[one], sizes)
        yield np.repeat(rows[one], sizes), np.arange(len(skipped)) - skipped


def groups(count: int, pairs: np.ndarray) -> list[list[int]]:
    """Connected components: each of 0 .. count - 1 is in exactly one group, most of them alone; in order.

    Two photos that are both near a third are in one group, even if they are not near each other.

    Args:
        count: of photos.
        pairs: int, (pairs, 2): positions of two that belong together.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(pairs)), pairs.T), shape=(count, count))
    _, label = connected_components(graph, directed=False)  # numbered in the order of each group's first photo
    order = np.argsort(label, kind="stable")
    return [group.tolist() for group in np.split(order, np.flatnonzero(np.diff(label[order])) + 1)]


def near_groups(fingerprints: list[np.ndarray]) -> list[list[int]]:
    """:func:`groups` of near duplicates among photos given by their fingerprints, each uint64, (2, 2)."""
    if not fingerprints:
        return []
    # Equal fingerprints are one in the search, or thousands of copies of one photo would be millions of pairs.
    prints = np.stack(fingerprints)
    _, first, one = np.unique(prints.reshape(-1, 4), axis=0, return_index=True, return_inverse=True)
    equal = np.column_stack([first[one.ravel()], np.arange(len(prints))])
    return groups(len(prints), np.concatenate([equal, first[near_pairs(prints[first])[:, :2]]]))
