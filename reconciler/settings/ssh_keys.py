"""Public keys of SSH, as settings may hold them."""

import base64

_HOW = "write ssh-ed25519 AAAA…, as the .pub file of a host key has it"
_LENGTH = 4  # bytes before a string on the wire, RFC 4251


def ssh_public_key(text: str) -> str:
    """Return type and key of *text*, without its comment, if it is a public key."""
    kind, key, *_comment = [*text.split(), "", ""][:3]
    try:
        blob = base64.b64decode(key, validate=True)
    except ValueError:
        blob = b""
    named = len(kind).to_bytes(_LENGTH, "big") + kind.encode()
    if not kind or "\n" in text.strip() or not blob.startswith(named):
        message = f"is no public key: {_HOW}"
        raise ValueError(message)
    return f"{kind} {key}"
