"""DSSE: the envelope that holds a payload and its signatures. Nothing in the payload is believed before one fits."""

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any, NoReturn

from auditor.certification.keys import PrivateKey, PublicKey
from auditor.errors import DataError

PAYLOAD_TYPE = "application/vnd.in-toto+json"
_STANDARD = str.maketrans("-_", "+/")


def pae(payload_type: str, payload: bytes) -> bytes:
    """The pre-authentication encoding, the bytes that are signed: type and payload, each behind its length in bytes."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


@dataclass(frozen=True)
class Signature:
    """One signature; `keyid` is an unsigned hint and decides nothing."""

    sig: bytes
    keyid: str = ""


@dataclass(frozen=True)
class Envelope:
    """A payload, what kind it is, and who signed both together."""

    payload: bytes
    payload_type: str
    signatures: tuple[Signature, ...]

    def signed_by(self, key: PublicKey) -> bool:
        """Whether any signature is this key's, over exactly this payload and type."""
        message = pae(self.payload_type, self.payload)
        return any(key.verifies(signature.sig, message) for signature in self.signatures)

    def to_bytes(self) -> bytes:
        """One line of JSON, so that envelopes can be put together into an in-toto bundle (JSON lines)."""
        signatures = [{"keyid": item.keyid, "sig": _encode(item.sig)} for item in self.signatures]
        data = {"payload": _encode(self.payload), "payloadType": self.payload_type, "signatures": signatures}
        return (json.dumps(data, ensure_ascii=False) + "\n").encode()


def seal(payload: bytes, key: PrivateKey, payload_type: str = PAYLOAD_TYPE) -> Envelope:
    """The envelope of a payload, signed once."""
    signature = Signature(key.sign(pae(payload_type, payload)), key.public.id)
    return Envelope(payload, payload_type, (signature,))


def read_envelope(raw: bytes, where: str) -> Envelope:
    """The envelope in these bytes, still to be checked; DataError for anything that is none."""
    try:
        data = json.loads(raw)
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        _refuse(where, f"no JSON: {error}")
    if not isinstance(data, dict):
        _refuse(where, "no JSON object")
    payload_type, signatures = data.get("payloadType"), data.get("signatures")
    if not isinstance(payload_type, str) or not payload_type.isprintable() or not isinstance(signatures, list):
        _refuse(where, "no `payloadType` with `signatures`")
    return Envelope(
        _decode(data.get("payload", ""), "payload", where),
        payload_type,
        tuple(_read_signature(item, where) for item in signatures),
    )


def _read_signature(item: Any, where: str) -> Signature:
    if not isinstance(item, dict):
        _refuse(where, "a signature that is no JSON object")
    return Signature(_decode(item.get("sig"), "sig", where), str(item.get("keyid") or ""))


def _encode(data: bytes) -> str:
    return base64.standard_b64encode(data).decode("ascii")


def _decode(text: Any, field: str, where: str) -> bytes:
    """Base64 in either alphabet, which verifiers have to accept."""
    if not isinstance(text, str):
        _refuse(where, f"no text in `{field}`")
    try:
        return base64.b64decode(text.translate(_STANDARD), validate=True)
    except (binascii.Error, ValueError) as error:
        _refuse(where, f"no base64 in `{field}`: {error}")


def _refuse(where: str, got: str) -> NoReturn:
    raise DataError(
        "is no signed attestation", where=where, got=got, expected="a DSSE envelope as `pcr-audit attest` writes it",
        todo="give the attestation of the run, unchanged",
    )  # fmt: skip
