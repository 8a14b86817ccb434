"""Signing keys: PEM files of Ed25519 or ECDSA P-256, made, read and used through `cryptography`."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NoReturn

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256

from auditor.errors import UsageError

KeyKind = Literal["ed25519", "ecdsa-p256"]
PRIVATE, PUBLIC = "private.pem", "public.pem"
PASSPHRASE = "PCR_AUDIT_KEY_PASSPHRASE"
"""The environment variable that holds the passphrase of an encrypted private key."""
_LARGEST = 2**16


@dataclass(frozen=True)
class PublicKey:
    """What a signature is checked with."""

    key: Ed25519PublicKey | ec.EllipticCurvePublicKey

    @property
    def id(self) -> str:
        """SHA-256 in hex over the DER form (SubjectPublicKeyInfo): a hint to find the key by, never a proof."""
        encoded = self.key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        return hashlib.sha256(encoded).hexdigest()

    @property
    def pem(self) -> bytes:
        return self.key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Whether the private half made this signature over these bytes; ECDSA signatures are DER, over SHA-256."""
        try:
            if isinstance(self.key, Ed25519PublicKey):
                self.key.verify(signature, message)
            else:
                self.key.verify(signature, message, ec.ECDSA(SHA256()))
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True)
class PrivateKey:
    """What a signature is made with."""

    key: Ed25519PrivateKey | ec.EllipticCurvePrivateKey

    @property
    def public(self) -> PublicKey:
        return PublicKey(self.key.public_key())

    def sign(self, message: bytes) -> bytes:
        """The same bytes for the same message: Ed25519, or ECDSA over SHA-256 with the nonce of RFC 6979, as DER."""
        if isinstance(self.key, Ed25519PrivateKey):
            return self.key.sign(message)
        return self.key.sign(message, ec.ECDSA(SHA256(), deterministic_signing=True))

    def pem(self, passphrase: str | None) -> bytes:
        """PKCS #8, encrypted where there is a passphrase."""
        sealed = (
            serialization.BestAvailableEncryption(passphrase.encode()) if passphrase else serialization.NoEncryption()
        )
        return self.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, sealed)


def generate_key(kind: KeyKind) -> PrivateKey:
    """A new key from the operating system's randomness: the one number of this program that no seed may decide."""
    return PrivateKey(Ed25519PrivateKey.generate() if kind == "ed25519" else ec.generate_private_key(ec.SECP256R1()))


def write_keys(folder: Path, kind: KeyKind = "ed25519") -> tuple[Path, Path]:
    """Writes `private.pem` (only its owner may read it) and `public.pem`, and replaces neither.

    The private key is encrypted where PCR_AUDIT_KEY_PASSPHRASE is set. Raises UsageError where a file is there already
    or the folder cannot be written.
    """
    private, public = folder / PRIVATE, folder / PUBLIC
    for path in (private, public):
        if os.path.lexists(path):
            _refuse_present(path)
    key = generate_key(kind)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _create(private, key.pem(os.environ.get(PASSPHRASE)), 0o600)
        _create(public, key.public.pem, 0o644)
    except FileExistsError as error:
        _refuse_present(Path(error.filename))
    except OSError as error:
        raise UsageError(
            "the keys cannot be written", where=str(folder), got=error.strerror or str(error),
            expected="a folder that can be written", todo="choose another --out",
        ) from error  # fmt: skip
    return private, public


def load_private_key(path: Path) -> PrivateKey:
    """Raises UsageError for what is no Ed25519 or P-256 private key, or one that the passphrase does not open."""
    raw = _read(path)
    passphrase = os.environ.get(PASSPHRASE)
    if b"PUBLIC KEY" in raw:
        _refuse(path, "a public key", "the private key that signs", f"give {PRIVATE}")
    try:
        sealed = b"ENCRYPTED" in raw
        key = serialization.load_pem_private_key(raw, passphrase.encode() if passphrase and sealed else None)
    except TypeError as error:
        _refuse(path, "an encrypted key, and no passphrase", "its passphrase", f"set {PASSPHRASE}", error)
    except (ValueError, UnsupportedAlgorithm) as error:
        _refuse(path, str(error), "a PEM private key", f"check the file, and {PASSPHRASE} if it is encrypted", error)
    if isinstance(key, Ed25519PrivateKey) or _is_p256(key):
        return PrivateKey(key)  # type: ignore[arg-type]
    _refuse_kind(path, key)


def load_public_key(path: Path) -> PublicKey:
    """Raises UsageError for what is no Ed25519 or P-256 public key."""
    raw = _read(path)
    if b"PRIVATE KEY" in raw:
        _refuse(path, "a private key", "the public key", f"give {PUBLIC}, and keep the private key to yourself")
    try:
        key = serialization.load_pem_public_key(raw)
    except (ValueError, UnsupportedAlgorithm) as error:
        _refuse(path, str(error), "a PEM public key", "check the file", error)
    if isinstance(key, Ed25519PublicKey) or _is_p256(key):
        return PublicKey(key)  # type: ignore[arg-type]
    _refuse_kind(path, key)


def _is_p256(key: object) -> bool:
    if not isinstance(key, ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey):
        return False
    return isinstance(key.curve, ec.SECP256R1)


def _create(path: Path, data: bytes, mode: int) -> None:
    """Makes the file with these rights from the first byte on; FileExistsError where there is one, or a link."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(handle, "wb") as file:
        file.write(data)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_LARGEST)
    except OSError as error:
        raise UsageError(
            "the key cannot be read", where=str(path), got=error.strerror or str(error), expected="a PEM file",
            todo="check the path, or make a key with `pcr-audit keygen --out DIR`",
        ) from error  # fmt: skip


def _refuse_present(path: Path) -> NoReturn:
    raise UsageError(
        "there is a key already, and keys are never replaced", where=str(path), got="a file", expected="nothing there",
        todo="choose another --out; what an old key has signed can only be checked with its public half",
    )  # fmt: skip


def _refuse(path: Path, got: str, expected: str, todo: str, cause: Exception | None = None) -> NoReturn:
    raise UsageError("is not the key that is needed", where=str(path), got=got, expected=expected, todo=todo) from cause


def _refuse_kind(path: Path, key: object) -> NoReturn:
    kind = type(key).__name__.strip("_").removesuffix("PrivateKey").removesuffix("PublicKey")
    curve = getattr(getattr(key, "curve", None), "name", "")
    _refuse(path, f"{kind} {curve}".strip(), "Ed25519, or ECDSA on P-256", "make one with `pcr-audit keygen --out DIR`")
