"""Linear erasure of a concept from vectors: LEACE (Belrose et al., NeurIPS 2023), in closed form.

After it no linear reader tells the concept from the vectors, and no other linear map with this property changes the
vectors less. A non-linear reader may still find something.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SMALLEST = 1e-6  # directions with a smaller fraction of the largest variance count as constant


@dataclass(frozen=True)
class Eraser:
    """A linear map that takes a concept out of vectors.

    Attributes:
        mean: mean of the vectors, [E].
        read: [E, K], directions along which the vectors tell the concept.
        write: [E, K], how these directions enter the vectors: the erased part of v is ``write · readᵀ (v - mean)``.
        correlations: canonical correlation of each direction with the concept, [K], falling.
    """

    mean: np.ndarray
    read: np.ndarray
    write: np.ndarray
    correlations: np.ndarray

    @classmethod
    def fit(cls, vectors: np.ndarray, concept: np.ndarray, least: float = 1e-6) -> Eraser:
        """The smallest change of ``vectors`` [T, E] after which they are uncorrelated with ``concept`` [T, C].

        Args:
            vectors: directions in which they hardly vary are left alone.
            concept: values that the vectors shall not tell.
            least: canonical correlations below it count as chance, and their directions stay.

        Example:
            The second value of these vectors is the concept, the first is independent of it:

            >>> concept = np.array([[1.0], [-1.0], [1.0], [-1.0]])
            >>> vectors = np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
            >>> Eraser.fit(vectors, concept).erase(vectors).round(6).tolist()
            [[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [-1.0, 0.0]]
        """
        vectors, concept = np.asarray(vectors, np.float64), np.asarray(concept, np.float64)
        mean = vectors.mean(0)
        to_white, from_white = _whitening(vectors - mean)
        concept_white = (concept - concept.mean(0)) @ _whitening(concept - concept.mean(0))[0]
        shared = to_white.T @ (vectors - mean).T @ concept_white / len(vectors)
        left, correlations, _ = np.linalg.svd(shared, full_matrices=False)
        kept = correlations > least
        return cls(mean, to_white @ left[:, kept], from_white @ left[:, kept], correlations[kept])

    def erase(self, vectors: np.ndarray) -> np.ndarray:
        """Vectors [T, E] without the concept."""
        return np.asarray(vectors - (vectors - self.mean) @ self.read @ self.write.T)


def _whitening(centred: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Maps [E, R] from centred vectors [T, E] to uncorrelated values of unit variance, and back (transposed)."""
    variance, axes = np.linalg.eigh(centred.T @ centred / len(centred))
    kept = variance > SMALLEST * max(float(variance.max(initial=0.0)), 1e-12)
    root, axes = np.sqrt(variance[kept]), axes[:, kept]
    return axes / root, axes * root
