"""Content credentials: a C2PA manifest inside the video, signed with the user's certificate.

They say who signed the video and that a trained algorithm made it, in the industry's format, so that programs which
know nothing of ``jean`` can check it. The certificate must allow signing documents (C2PA's trust model).
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jean.errors import InputError, SetupError, UsageError
from jean.media import VideoWriter

SIGNED = (".mp4", ".m4v", ".mov")  # containers of results that can hold a manifest
# the vocabulary of the International Press Telecommunications Council
_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
_HELP = "docs/guides/provenance.md tells which certificates serve."


@dataclass(frozen=True)
class Signer:
    """A certificate and its key.

    Attributes:
        certificate: PEM file: the signer's certificate, then those that signed it.
        key: PEM file with the unencrypted private key.
    """

    certificate: Path
    key: Path

    def check(self) -> None:
        """Signs a tiny video, so that a certificate that does not serve is found before any work.

        Raises:
            UsageError, InputError, SetupError: as ``sign``.
        """
        with tempfile.TemporaryDirectory() as folder:
            video = Path(folder) / "trial.mp4"
            with VideoWriter(video, (16, 16), 25) as writer:
                writer.write(np.zeros((16, 16, 3), np.uint8))
            self.sign(video, video.name, {"tool": {"name": "jean", "version": "0"}})

    def sign(self, video: Path, title: str, document: Mapping[str, Any]) -> None:
        """Adds signed credentials to a complete video, in place.

        Args:
            video: the file.
            title: its name as readers see it.
            document: the manifest of ``jean.provenance``.

        Raises:
            UsageError: the certificate or the key does not serve.
            SetupError: the package is missing, or the file cannot be written.
        """
        c2pa = _package()
        texts = [_read(path) for path in (self.certificate, self.key)]
        claim = {
            "claim_generator_info": [document["tool"]],
            "title": title,
            "assertions": [
                {
                    "label": "c2pa.actions",
                    "data": {"actions": [{"action": "c2pa.created", "digitalSourceType": _SOURCE_TYPE}]},
                }
            ],
        }
        signed = video.with_name(f".{video.stem}.{os.getpid()}.signed{video.suffix}")
        try:
            info = c2pa.C2paSignerInfo(_algorithm(texts[1], self.key), *texts, None)
            c2pa.Builder(json.dumps(claim)).sign_file(video, signed, c2pa.Signer.from_info(info))
            with open(signed, "rb+") as handle:
                os.fsync(handle.fileno())
            os.replace(signed, video)
        except c2pa.C2paError as error:
            reason = str(error).splitlines()[0]
            raise UsageError(f"{self.certificate.name} cannot sign: {reason.rstrip('.')}.", _HELP) from error
        except OSError as error:
            raise SetupError(f"cannot write {video}: {error.strerror or error}.", "Free some space.") from error
        finally:
            signed.unlink(missing_ok=True)


def read(video: Path) -> dict[str, Any] | None:
    """The credentials inside a video.

    Returns:
        ``synthetic``: whether they say that an algorithm made it; ``valid``: whether signature and content agree;
        ``issuer`` and ``signer``: of the certificate. None where the file has no credentials, or where the package that
        reads them is missing.
    """
    if video.suffix.lower() not in SIGNED:
        return None
    try:
        c2pa = _package()
    except SetupError:
        return None
    try:
        store = json.loads(c2pa.Reader(str(video)).json())
    except c2pa.C2paError:
        return None
    active = store["manifests"][store["active_manifest"]]
    actions = [
        action
        for assertion in active.get("assertions", [])
        if assertion["label"].startswith("c2pa.actions")
        for action in assertion["data"]["actions"]
    ]
    signature = active.get("signature_info", {})
    return {
        "synthetic": any(action.get("digitalSourceType") == _SOURCE_TYPE for action in actions),
        "valid": store.get("validation_state") in ("Valid", "Trusted"),
        "issuer": signature.get("issuer"),
        "signer": signature.get("common_name"),
    }


def _algorithm(key_pem: bytes, path: Path) -> bytes:
    """The name of C2PA's signature algorithm for a private key."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(key_pem, password=None)
    except (ValueError, TypeError) as error:
        raise UsageError(f"{path} is not an unencrypted private key in PEM form.", _HELP) from error
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.key_size in (256, 384, 521):
        return {256: b"es256", 384: b"es384", 521: b"es512"}[key.curve.key_size]
    if isinstance(key, rsa.RSAPrivateKey):
        return b"ps256"
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return b"ed25519"
    raise UsageError(f"{path} holds a key of a kind that C2PA does not allow.", _HELP)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}.", "Check the path.") from error


def _package() -> Any:
    try:
        import c2pa
    except ImportError as error:
        raise SetupError("the package c2pa-python is missing.", 'Run: pip install "jean[marks]"') from error
    return c2pa
