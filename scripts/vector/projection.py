"""A space as a picture: its vectors on the plane that shows most of their variance."""

from __future__ import annotations

import numpy as np


def project_plane(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates of n vectors, (n, 2), and the share of their variance that each axis shows, (2,).

    Principal component analysis (Pearson 1901; Jolliffe 2002, chapter 1) of the centred vectors, in float64: the axes
    are the two eigenvectors of the largest eigenvalues of their scatter matrix. An axis may point either way; it is
    turned so that its largest element in absolute value is positive, as scikit-learn does. Vectors that are all alike
    have coordinates and shares 0. models/marts/space_map.py holds the same lines; a test compares the two.
    """
    centred = np.asarray(vectors, dtype=np.float64)
    scale = np.square(centred).sum()
    centred = centred - centred.mean(axis=0)
    spread = np.square(centred).sum()
    # What is left of equal vectors is rounding, not variance.
    if spread <= 1e-20 * scale:
        return np.zeros((len(centred), 2)), np.zeros(2)
    if centred.shape[1] < 2:
        centred = np.pad(centred, ((0, 0), (0, 1)))
    # Both matrices have the same eigenvalues; the smaller one's take less time.
    fewer = len(centred) < centred.shape[1]
    variances, axes = np.linalg.eigh(centred @ centred.T if fewer else centred.T @ centred)
    variances, axes = variances[:-3:-1], axes[:, :-3:-1]
    if fewer:
        # Of an eigenvector u of CC', C'u is one of C'C, as long as its singular value; one of length 0 is no axis.
        axes = centred.T @ axes
        lengths = np.linalg.norm(axes, axis=0)
        axes = axes / np.where(lengths > 1e-7 * lengths[0], lengths, np.inf)
    largest = np.abs(axes).argmax(axis=0)
    axes = axes * np.where(axes[largest, [0, 1]] < 0, -1, 1)
    return centred @ axes, np.clip(variances, 0, None) / spread
