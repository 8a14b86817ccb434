"""Signing keys: made privately, never replaced, and refused in words where they are the wrong ones."""

import hashlib
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from auditor.certification.keys import (
    PASSPHRASE,
    KeyKind,
    PublicKey,
    generate_key,
    load_private_key,
    load_public_key,
    write_keys,
)
from auditor.errors import UsageError

KINDS: tuple[KeyKind, ...] = ("ed25519", "ecdsa-p256")


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_signs_what_its_public_half_verifies(kind: KeyKind, tmp_path: Path) -> None:
    private, public = write_keys(tmp_path / "keys", kind)
    signature = load_private_key(private).sign(b"message")
    key = load_public_key(public)
    assert key.verifies(signature, b"message")
    assert not key.verifies(signature, b"massage")
    assert not key.verifies(signature[:-1] + bytes([signature[-1] ^ 1]), b"message")
    assert not key.verifies(b"", b"message")
    assert not generate_key(kind).public.verifies(signature, b"message")


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_message_gets_the_same_signature(kind: KeyKind) -> None:
    key = generate_key(kind)
    assert key.sign(b"message") == key.sign(b"message")


def test_only_the_owner_may_read_a_private_key(tmp_path: Path) -> None:
    private, public = write_keys(tmp_path / "keys")
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert private.read_bytes().startswith(b"-----BEGIN PRIVATE KEY-----")
    assert public.read_bytes().startswith(b"-----BEGIN PUBLIC KEY-----")


@pytest.mark.parametrize("present", ["private.pem", "public.pem"])
def test_a_key_is_never_replaced(present: str, tmp_path: Path) -> None:
    (tmp_path / present).write_text("mine")
    with pytest.raises(UsageError, match="never replaced") as error:
        write_keys(tmp_path)
    assert error.value.exit_code == 4
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(present, "mine")]


def test_a_link_in_the_place_of_a_key_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "private.pem").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="never replaced"):
        write_keys(tmp_path)
    assert not (tmp_path / "elsewhere").exists()


def test_a_passphrase_is_needed_to_read_what_it_sealed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PASSPHRASE, "open sesame")
    private, public = write_keys(tmp_path)
    assert b"ENCRYPTED" in private.read_bytes()
    assert load_public_key(public).verifies(load_private_key(private).sign(b"x"), b"x")
    monkeypatch.setenv(PASSPHRASE, "wrong")
    with pytest.raises(UsageError):
        load_private_key(private)
    monkeypatch.delenv(PASSPHRASE)
    with pytest.raises(UsageError, match=PASSPHRASE):
        load_private_key(private)


def test_a_passphrase_in_the_environment_does_not_hinder_an_open_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private, _ = write_keys(tmp_path)
    monkeypatch.setenv(PASSPHRASE, "unused")
    load_private_key(private)


def test_the_halves_are_not_taken_for_each_other(tmp_path: Path) -> None:
    private, public = write_keys(tmp_path)
    with pytest.raises(UsageError, match="a public key"):
        load_private_key(public)
    with pytest.raises(UsageError, match="a private key"):
        load_public_key(private)


@pytest.mark.parametrize("content", [b"", b"\x00\x01", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"])
def test_what_is_no_key_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(content)
    for load in (load_private_key, load_public_key):
        with pytest.raises(UsageError) as error:
            load(tmp_path / "key")
        assert error.value.exit_code == 4 and "key" in str(error.value)
    with pytest.raises(UsageError, match="cannot be read"):
        load_public_key(tmp_path / "none")


@pytest.mark.parametrize(
    "other", [ec.generate_private_key(ec.SECP384R1()), rsa.generate_private_key(65537, 2048)], ids=["p384", "rsa"]
)
def test_other_kinds_of_key_are_refused_by_name(
    other: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, tmp_path: Path
) -> None:
    public = other.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    (tmp_path / "key").write_bytes(public)
    with pytest.raises(UsageError, match="Ed25519, or ECDSA on P-256"):
        load_public_key(tmp_path / "key")


def test_the_key_id_is_the_digest_of_the_der_form() -> None:
    key: PublicKey = generate_key("ecdsa-p256").public
    der = serialization.load_pem_public_key(key.pem).public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    assert key.id == hashlib.sha256(der).hexdigest()
