"""check_token.py KEYS TOKEN: checks an ID token with the standard library alone, and prints its claims.

KEYS: a file with a JWK set (RFC 7517), TOKEN: a file with a token (RFC 7515, compact). RS256 as RFC 7518 section 3.3
and RFC 8017 section 8.2.2 have it, the key's id as RFC 7638 does. Exit code 1 and a line on standard error when it is not
what it should be.
"""
import base64
import hashlib
import json
import sys


def unpack(text):
    if "=" in text or "+" in text or "/" in text:
        raise ValueError("not base64url without padding")
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def thumbprint(key):
    text = json.dumps({"e": key["e"], "kty": "RSA", "n": key["n"]}, separators=(",", ":"))
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


def claims_of(keys, token):
    head, payload, signature = token.split(".")
    header = json.loads(unpack(head))
    if header["alg"] != "RS256" or header["typ"] != "JWT":
        raise ValueError(f"header {header}")
    found = [key for key in keys["keys"] if key["kid"] == header["kid"]]
    if len(found) != 1:
        raise ValueError(f"{len(found)} keys of id {header['kid']}")
    key = found[0]
    if (key["kty"], key["use"], key["alg"]) != ("RSA", "sig", "RS256") or "d" in key or thumbprint(key) != key["kid"]:
        raise ValueError(f"key {sorted(key)}")
    modulus = int.from_bytes(unpack(key["n"]), "big")
    exponent = int.from_bytes(unpack(key["e"]), "big")
    size = (modulus.bit_length() + 7) // 8
    if modulus.bit_length() < 2048 or len(unpack(signature)) != size:
        raise ValueError(f"{modulus.bit_length()} bits, a signature of {len(unpack(signature))} bytes")
    message = pow(int.from_bytes(unpack(signature), "big"), exponent, modulus).to_bytes(size, "big")
    digest = bytes.fromhex("3031300d060960864801650304020105000420")
    digest += hashlib.sha256(f"{head}.{payload}".encode()).digest()
    if message != b"\0\1" + b"\xff" * (size - 3 - len(digest)) + b"\0" + digest:
        raise ValueError("the signature is not good")
    return json.loads(unpack(payload))


if __name__ == "__main__":
    try:
        with open(sys.argv[1]) as keys_file, open(sys.argv[2]) as token_file:
            print(json.dumps(claims_of(json.load(keys_file), token_file.read().strip())))
    except (ValueError, KeyError) as error:
        sys.exit(f"check_token: {error}")
