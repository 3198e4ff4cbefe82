"""Compiled loops, loaded ahead of their first use."""

from __future__ import annotations


def load_loops() -> None:
    """Call the loops that every run needs, with next to nothing to do.

    numba takes up to a second for the first loop of a process. No thread is started: a process that
    is forked later would miss it.
    """
    import numpy as np

    from vssl.kernels import bilinear, kth_largest, mean_of_largest, pack_above
    from vssl.maps import bilinear_places
    from vssl.ranks import detection_statistics, rank_statistics
    from vssl.resize import resize_antialiased
    from vssl.types import EVALUATION_SIZE

    one, none = np.ones(1, np.int64), np.zeros(1, np.int64)
    places = bilinear_places(7, EVALUATION_SIZE, "half_pixel")
    pixels = bilinear(np.zeros((1, 7, 7), np.float32), places, places, False).reshape(1, -1)
    pack_above(pixels, kth_largest(pixels, one)[None])
    mean_of_largest(pixels, one)
    weights = np.ones((1, 1))
    rank_statistics(one, np.ones(1, bool), none, weights)
    detection_statistics(one, none, weights, none, weights)
    resize_antialiased(np.zeros((2, 2, 3), np.uint8), 2)
