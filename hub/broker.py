"""The way to RabbitMQ: TLS with a client certificate and nothing else, one connection per purpose."""

import ssl
from dataclasses import dataclass

import aio_pika
from aio_pika.abc import AbstractConnection

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
        secret = settings.secret()
        contexts = {}
        for user in HUB_USERS:
            put_tls(settings.home, user)
            key = settings.home / f"{user}.key"
            password = tls_password(key, secret)
            certificate = settings.home / f"{user}.pem"
            contexts[user] = tls.client_context(settings.home / "ca.pem", certificate, key, password)
        return cls(settings.broker_host, settings.broker_port, settings.vhost, contexts)

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
