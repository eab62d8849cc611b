"""Mutual TLS as go-plugin does it: each side pins the other's self-signed certificate."""

from __future__ import annotations

import base64
import binascii
import datetime
import os
import re
from dataclasses import dataclass

import grpc

from snakepit.plugin._errors import PluginError

# The DER encoding of secp521r1's object identifier, 1.3.132.0.35.
_P521 = bytes.fromhex("06052b81040023")

_NO_P521 = (
    "the host uses AutoMTLS, whose client certificate is on the curve P-521, and gRPC for Python "
    "can't verify one: every connection would fail. In the host, leave out ClientConfig.AutoMTLS "
    "and set ClientConfig.TLSConfig to a P-256 certificate of its own, with the same certificate "
    "as PEM in the plugin's environment as PLUGIN_CLIENT_CERT; or use no TLS, since a Unix "
    "socket in a private folder is reachable by its own user alone"
)

_NO_LIBRARY = (
    "TLS needs the package cryptography: install it, or snakepit-sdk[tls], in the plugin's "
    "environment"
)

_NO_CERTIFICATE = (
    "this plugin insists on TLS, but the host sent no certificate in PLUGIN_CLIENT_CERT: "
    "set ClientConfig.TLSConfig in the host and pass the certificate on"
)


@dataclass(frozen=True)
class Identity:
    """This process's certificate and key, and the certificate of its host."""

    key: bytes
    """PEM."""
    certificate: bytes
    """PEM."""
    der: bytes
    """The certificate as the handshake line carries it, before base64."""
    host: bytes
    """The host's certificate, PEM."""

    def field(self) -> str:
        """The handshake line's sixth field: base64 without padding."""
        return base64.b64encode(self.der).rstrip(b"=").decode()

    def server_credentials(self) -> grpc.ServerCredentials:
        """Credentials for a server that lets in the host alone."""
        return grpc.ssl_server_credentials(
            [(self.key, self.certificate)],
            root_certificates=self.host,
            require_client_auth=True,
        )

    def channel_credentials(self) -> grpc.ChannelCredentials:
        """Credentials for a channel to one of the host's own servers."""
        return grpc.ssl_channel_credentials(self.host, self.key, self.certificate)


def identity(wanted: bool | None) -> Identity | None:
    """Makes this process's identity, or None for a connection without TLS.

    Args:
        wanted: True insists on TLS, False refuses it, None leaves it to the host.

    Raises:
        PluginError: TLS is wanted and can't be had.
    """
    host = os.environ.get("PLUGIN_CLIENT_CERT", "").encode()
    if wanted is False or (wanted is None and not host):
        return None
    if not host:
        raise PluginError(_NO_CERTIFICATE)
    if _P521 in _first_der(host):
        raise PluginError(_NO_P521)
    return _generate(host)


def _first_der(pem: bytes) -> bytes:
    match = re.search(rb"-----BEGIN CERTIFICATE-----(.+?)-----END CERTIFICATE-----", pem, re.DOTALL)
    if match is None:
        msg = "PLUGIN_CLIENT_CERT holds no PEM certificate"
        raise PluginError(msg)
    try:
        return base64.b64decode(b"".join(match[1].split()), validate=True)
    except binascii.Error as error:
        msg = f"PLUGIN_CLIENT_CERT holds no PEM certificate: {error}"
        raise PluginError(msg) from error


def _generate(host: bytes) -> Identity:
    try:
        from cryptography import x509  # noqa: PLC0415  an optional extra, and slow to import
        from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
        from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415
        from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID  # noqa: PLC0415
    except ImportError as error:
        raise PluginError(_NO_LIBRARY) from error
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    usage = x509.KeyUsage(
        digital_signature=True,
        key_encipherment=True,
        key_agreement=True,
        key_cert_sign=True,
        content_commitment=False,
        data_encipherment=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    both = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(seconds=30))
        .not_valid_after(now + datetime.timedelta(days=365 * 30))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage(both), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Identity(
        key=key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
        certificate=certificate.public_bytes(serialization.Encoding.PEM),
        der=certificate.public_bytes(serialization.Encoding.DER),
        host=host,
    )
