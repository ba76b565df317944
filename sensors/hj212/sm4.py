"""The encrypted section of HJ 212-2025: SM4-ECB (GB/T 32907) over what stands between `CP=&&` and `&&`.

Every 16 bytes are one block; there is no padding, so a tail of less than 16 bytes stays as it is. On the wire the
bytes are written out: `{0xE4,0x3E,...}` and then the tail. LEN and CRC are those of the plain text.
"""

from __future__ import annotations

import re

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from sensors.hj212.faults import BAD_CIPHER, Refused

BLOCK = 16
_SECTION = re.compile(rb"\{((?:0[xX][0-9A-Fa-f]{2})(?:,0[xX][0-9A-Fa-f]{2})*)\}")


def is_sealed(content: bytes) -> bool:
    """Whether a CP section is encrypted."""
    return content.startswith(b"{0")


def key_bytes(key: str) -> bytes:
    """A key from its text: 16 characters, or 32 hexadecimal digits. Raises ValueError, without the text."""
    if len(key) == 2 * BLOCK:
        return bytes.fromhex(key)
    if len(key) == BLOCK and key.isascii():
        return key.encode("ascii")
    raise ValueError("an SM4 key is 16 characters or 32 hexadecimal digits")


def seal(content: bytes, key: bytes) -> bytes:
    """Encrypt a CP section into its written-out form; one shorter than a block stays plain."""
    whole = len(content) // BLOCK * BLOCK
    if not whole:
        return content
    cipher = Cipher(algorithms.SM4(key), modes.ECB()).encryptor()  # noqa: S305 - the standard prescribes ECB
    encrypted = cipher.update(content[:whole]) + cipher.finalize()
    return b"{" + b",".join(b"0x%02X" % byte for byte in encrypted) + b"}" + content[whole:]


def unseal(content: bytes, key: bytes) -> bytes:
    """Decrypt a written-out CP section. Senders that put the plain tail inside the braces are understood too.

    Raises:
        Refused: the section is not written as the standard writes it.
    """
    match = _SECTION.match(content)
    if match is None:
        raise Refused(BAD_CIPHER, "the encrypted section is not of the form {0xE4,0x3E,...}")
    written = bytes(int(byte, 16) for byte in match[1].split(b","))
    whole = len(written) // BLOCK * BLOCK
    cipher = Cipher(algorithms.SM4(key), modes.ECB()).decryptor()  # noqa: S305 - the standard prescribes ECB
    return cipher.update(written[:whole]) + cipher.finalize() + written[whole:] + content[match.end() :]
