"""The way to RabbitMQ: TLS with a client certificate and nothing else, one connection per purpose."""

import asyncio
import ssl
from dataclasses import dataclass

import aio_pika
from aio_pika.abc import AbstractConnection
from cryptography import x509

from crypto import tls, typed
from crypto.keyfile import put_tls, tls_password
from hub.errors import BrokerUnreachable
from hub.settings import Settings
from hub.topology import HUB_USERS

HEARTBEAT_S = 15
CONNECT_S = 10


@dataclass(frozen=True)
class BrokerAddress:
    """Where the broker is and how a user of the hub proves itself to it."""

    host: str
    port: int
    vhost: str
    contexts: dict[str, ssl.SSLContext]

    @classmethod
    def of(cls, settings: Settings) -> "BrokerAddress":
        """Reads the certificates and keys of the hub's users. Raises CertificateRefused, WrongPassphrase."""
        for user in HUB_USERS:
            put_tls(settings.home, user)
        return cls(settings.broker_host, settings.broker_port, settings.vhost, _contexts(settings))

    def reload(self, settings: Settings) -> None:
        """Goes by what is in the home now, from the next connection on. Raises as `of`; then nothing has changed."""
        self.contexts.update(_contexts(settings))

    async def connect(self, user: str) -> AbstractConnection:
        """A plain connection; when it closes, its owner starts anew. Raises BrokerUnreachable."""
        url = f"amqps://{self.host}:{self.port}/{self.vhost}?auth=EXTERNAL&heartbeat={HEARTBEAT_S}"
        try:
            return await aio_pika.connect(
                url,
                ssl_context=self.contexts[user],
                timeout=CONNECT_S,
                client_properties={"connection_name": user},
            )
        except (OSError, TimeoutError, aio_pika.exceptions.AMQPError) as error:
            raise BrokerUnreachable(
                f"no connection to RabbitMQ at {self.host}:{self.port} as {user}: {typed.why(error)}",
                "see that the broker runs, that its certificate is of our CA, and that `seci-hub provision` was run",
            ) from error

    async def certificate(self, user: str) -> x509.Certificate:
        """The one that the broker shows. Raises BrokerUnreachable."""
        try:
            async with asyncio.timeout(CONNECT_S):
                _, writer = await asyncio.open_connection(self.host, self.port, ssl=self.contexts[user])
        except (OSError, TimeoutError) as error:
            raise BrokerUnreachable(
                f"no TLS connection to RabbitMQ at {self.host}:{self.port}: {typed.why(error)}",
                "see that the broker runs, and that its certificate is of our CA",
            ) from error
        shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        return x509.load_der_x509_certificate(shown)


def _contexts(settings: Settings) -> dict[str, ssl.SSLContext]:
    home, secret = settings.home, settings.secret()
    contexts = {}
    for user in HUB_USERS:
        key = home / f"{user}.key"
        contexts[user] = tls.client_context(home / "ca.pem", home / f"{user}.pem", key, tls_password(key, secret))
    return contexts
