"""DSSE: the specification's vectors, somebody else's verifier, and everything that is no envelope."""

import base64
import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from hypothesis import given
from hypothesis import strategies as st
from securesystemslib.dsse import Envelope as TheirEnvelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey

from auditor.certification.envelope import PAYLOAD_TYPE, Envelope, Signature, pae, read_envelope, seal
from auditor.certification.keys import KeyKind, PrivateKey, PublicKey, generate_key
from auditor.errors import DataError

# The example of protocol.md, DSSE 1.0: ECDSA on P-256, its signature as r and s side by side.
TYPE, BODY = "http://example.com/HelloWorld", b"hello world"
X = 46950820868899156662930047687818585632848591499744589407958293238635476079160
Y = 5640078356564379163099075877009565129882514886557779369047442380624545832820
D = 97358161215184420915383655311931858321456579547487070936769975997791359926199
SIGNED = "A3JqsQGtVsJ2O2xqrI5IcnXip5GToJ3F+FnZ+O88SjtR6rDAajabZKciJTfUiHqJPcIAriEGAHTVeCUjW2JIZA=="
# Keys of RFC 8032, section 7.1 (tests 1 and 2), with which the specification's Ed25519 vectors are signed.
SEEDS = {
    "A": "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
    "B": "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
}
STATEMENT = "eyJfdHlwZSI6Imh0dHBzOi8vaW4tdG90by5pby9TdGF0ZW1lbnQvdjEifQ=="
A_SIGNED = "2WAfaHm5jluo0w+0rk8uVkluELJYWjSmU9x7EUzx+AyteDGJ4/nqyJXfmAUVFIAoQafWm7AxBZNw5M9ixNHiCA=="


def private(name: str) -> PrivateKey:
    return PrivateKey(Ed25519PrivateKey.from_private_bytes(bytes.fromhex(SEEDS[name])))


def envelope(payload: str, payload_type: str, *signatures: dict[str, str]) -> Envelope:
    return read_envelope(
        json.dumps({"payload": payload, "payloadType": payload_type, "signatures": signatures}).encode(), "vector"
    )


def test_the_encoding_is_the_specifications() -> None:
    assert pae(TYPE, BODY) == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    assert pae(PAYLOAD_TYPE, b"") == b"DSSEv1 28 application/vnd.in-toto+json 0 "


def test_lengths_are_counted_in_bytes() -> None:
    assert pae("application/vnd.exämple+json", b"").startswith(b"DSSEv1 29 ")


def test_the_specifications_example_verifies() -> None:
    raw = base64.b64decode(SIGNED)
    r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
    key = PublicKey(ec.EllipticCurvePublicNumbers(X, Y, ec.SECP256R1()).public_key())
    read = envelope(base64.b64encode(BODY).decode(), TYPE)
    signed = Envelope(read.payload, read.payload_type, (Signature(encode_dss_signature(r, s)),))
    assert signed.signed_by(key)
    assert not Envelope(b"hello World", TYPE, signed.signatures).signed_by(key)


def test_our_signature_of_the_example_is_the_specifications() -> None:
    numbers = ec.EllipticCurvePrivateNumbers(D, ec.EllipticCurvePublicNumbers(X, Y, ec.SECP256R1()))
    raw = base64.b64decode(SIGNED)
    expected = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    assert seal(BODY, PrivateKey(numbers.private_key()), TYPE).signatures[0].sig == expected


def test_the_specifications_ed25519_vectors() -> None:
    read = envelope(STATEMENT, PAYLOAD_TYPE, {"sig": A_SIGNED, "keyid": "A"})
    assert read.signed_by(private("A").public)
    assert not read.signed_by(private("B").public)
    swapped = envelope(STATEMENT, "application/vnd.example.other+json", {"sig": A_SIGNED, "keyid": "A"})
    assert not swapped.signed_by(private("A").public)
    empty = "gSggCAaTLTYyRH6FIDBem6meyIynsYy8RTHVzwx9tnTb7Bg/1jMWnuVgI/gffqmbsC2VX5/jHfkkDqsj7CDbDg=="
    assert envelope("", PAYLOAD_TYPE, {"sig": empty}).signed_by(private("A").public)
    url_safe = "P-_KHICeR7tI6S_YyejJTRtrXhcQyQ2LYPaL8h90KjC9qN8HU_svOQ6TuDOT1HIrsGW886DbWNWcCmX5twLrAw=="
    assert envelope("-_-_Pj8=", PAYLOAD_TYPE, {"sig": url_safe}).signed_by(private("A").public)


def test_a_second_signer_and_a_wrong_hint_change_nothing() -> None:
    other = {"sig": base64.b64encode(b"x" * 64).decode(), "keyid": private("A").public.id}
    read = envelope(STATEMENT, PAYLOAD_TYPE, other, {"sig": A_SIGNED, "keyid": "not this one"})
    assert read.signed_by(private("A").public)


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa-p256"])
def test_somebody_elses_verifier_accepts_ours(kind: KeyKind) -> None:
    key = generate_key(kind)
    line = seal(b'{"a": 1}', key).to_bytes()
    theirs = TheirEnvelope.from_dict(json.loads(line))
    known = SSlibKey.from_crypto(key.public.key, keyid=key.public.id)
    assert theirs.verify([known], threshold=1) == {key.public.id: known}
    theirs.payload += b" "
    with pytest.raises(VerificationError):
        theirs.verify([known], threshold=1)


@given(payload=st.binary(max_size=200), payload_type=st.text(st.characters(categories=["L", "N", "P"]), max_size=40))
def test_an_envelope_comes_back_as_it_was_written(payload: bytes, payload_type: str) -> None:
    key = private("A")
    sealed = seal(payload, key, payload_type)
    read = read_envelope(sealed.to_bytes(), "there")
    assert read == sealed and read.signed_by(key.public)
    assert sealed.to_bytes().count(b"\n") == 1


def test_a_flipped_byte_anywhere_is_never_accepted() -> None:
    key = private("A")
    line = bytearray(seal(b'{"_type": "x", "n": 12345}', key).to_bytes())
    read = read_envelope(bytes(line), "there")
    for place in range(len(line) - 1):
        changed = bytearray(line)
        changed[place] ^= 1
        try:
            found = read_envelope(bytes(changed), "there")
        except DataError:
            continue
        # Only what is outside the signature may differ: the unsigned hint and the names of unknown fields.
        same = (found.payload, found.payload_type) == (read.payload, read.payload_type)
        assert not found.signed_by(key.public) or same, place


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xff\xfe",
        b"null",
        b"[1]",
        b"{}",
        b"[" * 100_000,
        b'{"payload": "e30=", "payloadType": "x"}',
        b'{"payload": 3, "payloadType": "x", "signatures": []}',
        b'{"payload": "e30", "payloadType": "x", "signatures": []}',
        b'{"payload": "e3 0=", "payloadType": "x", "signatures": []}',
        b'{"payload": "e30=", "payloadType": 3, "signatures": []}',
        b'{"payload": "e30=", "payloadType": "\\ud800", "signatures": []}',
        b'{"payload": "e30=", "payloadType": "x", "signatures": {}}',
        b'{"payload": "e30=", "payloadType": "x", "signatures": [1]}',
        b'{"payload": "e30=", "payloadType": "x", "signatures": [{"keyid": "x"}]}',
        b'{"payload": "e30=", "payloadType": "x", "signatures": [{"sig": "\xc3\xa4"}]}',
    ],
)
def test_what_is_no_envelope_is_refused(raw: bytes) -> None:
    with pytest.raises(DataError, match="is no signed attestation") as error:
        read_envelope(raw, "a.json")
    assert error.value.exit_code == 4 and "a.json" in str(error.value)


def test_an_unsigned_envelope_is_signed_by_nobody() -> None:
    assert not envelope("e30=", PAYLOAD_TYPE).signed_by(private("A").public)
