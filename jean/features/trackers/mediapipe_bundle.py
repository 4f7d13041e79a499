"""Reads the canonical face from MediaPipe's ``face_landmarker.task``.

The bundle is a zip archive. Its geometry metadata is a protobuf message whose field 1 is the mesh. Field 3 of the
mesh repeats floats, five per vertex: x, y, z in centimetres, then two texture coordinates. The library has no
function that returns them.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from jean.errors import ArtefactError
from jean.features.protobuf import joined
from jean.weights.archives import read_member

METADATA = "geometry_pipeline_metadata_landmarks.binarypb"
MESH_FIELD, VERTEX_FIELD, FLOATS_PER_VERTEX = 1, 3, 5
MESH_POINTS = 468


def canonical_face(bundle: Path) -> np.ndarray:
    """The canonical mesh in head space, float32 [468, 3], cm.

    MediaPipe's axes (y up, z towards the viewer) are converted to OpenCV's (y down, z away).

    Args:
        bundle: path of ``face_landmarker.task``.

    Raises:
        ArtefactError: the file is not such a bundle.
    """
    remedy = "Run: jean models pull face_landmarker.task"
    try:
        with zipfile.ZipFile(bundle) as archive:
            message = memoryview(read_member(archive, METADATA))
        vertices = joined(joined(message, MESH_FIELD), VERTEX_FIELD)
        positions = np.frombuffer(vertices, "<f4").reshape(-1, FLOATS_PER_VERTEX)[:, :3]
    except (OSError, KeyError, ValueError, IndexError, zipfile.BadZipFile) as error:
        raise ArtefactError(f"{bundle} holds no canonical face ({type(error).__name__}).", remedy) from error
    if len(positions) != MESH_POINTS:
        raise ArtefactError(f"the canonical face in {bundle} has {len(positions)} points, not {MESH_POINTS}.", remedy)
    return positions * np.array([1.0, -1.0, -1.0], np.float32)
