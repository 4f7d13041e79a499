"""Content credentials: signed, read back, and broken by any change; certificates of the test's own authority."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from jean.errors import InputError, UsageError
from jean.marks.credentials import Signer, read
from tests.helpers.media_make import make_video

DOCUMENT = {"tool": {"name": "jean", "version": "1"}}


def _name(text: str) -> x509.Name:
    return x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Test"), x509.NameAttribute(NameOID.COMMON_NAME, text)]
    )


def make_certificate(folder: Path) -> Signer:
    """A signer whose certificate was issued by an authority of the test."""
    now = datetime.datetime.now(datetime.timezone.utc)
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    chain = []
    for subject, key in (("Authority", keys[0]), ("Signer", keys[1])):
        is_authority = subject == "Authority"
        usage = dict.fromkeys(
            (
                *("content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
                *("crl_sign", "encipher_only", "decipher_only"),
            ),
            False,
        )
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(subject))
            .issuer_name(_name("Authority"))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=2))
            .add_extension(x509.BasicConstraints(is_authority, None), critical=True)
            .add_extension(
                x509.KeyUsage(digital_signature=not is_authority, key_cert_sign=is_authority, **usage), critical=True
            )
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(keys[0].public_key()), critical=False)
        )
        if not is_authority:
            use = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
            builder = builder.add_extension(use, critical=True)
        chain.insert(0, builder.sign(keys[0], hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    (folder / "chain.pem").write_bytes(b"".join(chain))
    pem = keys[1].private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "key.pem").write_bytes(pem)
    return Signer(folder / "chain.pem", folder / "key.pem")


def test_signed_credentials_say_synthetic_and_break_with_any_change(tmp_path: Path) -> None:
    signer = make_certificate(tmp_path)
    signer.check()
    video = make_video(tmp_path / "a.mp4")
    assert read(video) is None
    signer.sign(video, "a.mp4", DOCUMENT)
    assert read(video) == {"synthetic": True, "valid": True, "issuer": "Test", "signer": "Signer"}
    data = bytearray(video.read_bytes())
    data[data.index(b"mdat") + 200] ^= 1
    video.write_bytes(data)
    facts = read(video)
    assert facts is not None and not facts["valid"]
    assert not list(tmp_path.glob(".*"))


def test_certificates_and_keys_that_do_not_serve_are_refused(tmp_path: Path) -> None:
    signer = make_certificate(tmp_path)
    (tmp_path / "text").write_text("no key")
    for wrong, reason in (
        (Signer(signer.certificate, tmp_path / "text"), "not an unencrypted private key"),
        (Signer(tmp_path / "text", signer.key), "text cannot sign"),
    ):
        with pytest.raises(UsageError, match=reason):
            wrong.check()
    with pytest.raises(InputError, match="cannot read"):
        Signer(tmp_path / "absent", signer.key).check()
