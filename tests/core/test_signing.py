"""The platform's signing key: made once, readable by its owner alone, and known to others' tools."""

from __future__ import annotations

import stat
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from core.errors import ConfigurationError
from core.signing import SigningKey, verify


def test_a_key_is_made_once_whoever_asks_first(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "signing.pem"
    with ThreadPoolExecutor(8) as threads:
        keys = list(threads.map(lambda _: SigningKey.load(path), range(32)))
    assert len({key.public for key in keys}) == 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["signing.pem"]


def test_what_was_changed_shows(tmp_path: Path) -> None:
    key = SigningKey.load(tmp_path / "a.pem")
    signature = key.sign(b"report")
    assert verify(key.public, b"report", signature)
    assert not verify(key.public, b"rep0rt", signature)
    assert not verify(SigningKey.load(tmp_path / "b.pem").public, b"report", signature)
    assert not verify(key.public, b"report", signature[:-2])
    assert not verify("zz", b"report", signature)


def test_openssl_agrees(tmp_path: Path) -> None:
    path, data, signature = tmp_path / "k.pem", tmp_path / "data", tmp_path / "signature"
    key = SigningKey.load(path)
    data.write_bytes(b"a report")
    signature.write_bytes(bytes.fromhex(key.sign(b"a report")))
    public = subprocess.run(["openssl", "pkey", "-in", path, "-pubout"], capture_output=True, check=True).stdout
    (tmp_path / "pub.pem").write_bytes(public)
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-rawin", "-inkey", str(tmp_path / "pub.pem")]
    command += ["-in", str(data), "-sigfile", str(signature)]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "Verified Successfully" in checked.stdout, checked.stderr


@pytest.mark.parametrize("content", [b"", b"no key", b"rsa"])
def test_another_file_is_refused_with_its_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "signing.pem"
    if content == b"rsa":
        content = generate_private_key(65537, 2048).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"signing\.pem"):
        SigningKey.load(path)
