"""A provider's word on the onward use of what it sent: asked for, given or refused (handling codes H1 to H3)."""

from enum import StrEnum
from typing import Annotated, Final, Self
from uuid import UUID

from pydantic import Field, model_validator

from schemas.header import NodeId
from schemas.kinds.common import Line, Message, Text
from schemas.kinds.kind import Kind

_Recipients = Annotated[tuple[NodeId, ...], Field(min_length=1, max_length=64)]


class Use(StrEnum):
    """What is to be done with a message beyond reading it."""

    FORWARD = "forward"
    JUDICIAL = "judicial"


class PermissionRequest(Message):
    """Asks a provider to let one of its messages be handed on, or be used in judicial proceedings."""

    message: Annotated[UUID, Field(description="The id of the provider's message.")]
    use: Use
    recipients: Annotated[_Recipients, Field(description="Nodes that it would be handed on to.")] | None = None
    purpose: Line
    text: Text | None = None

    @model_validator(mode="after")
    def _says_to_whom(self) -> Self:
        if self.use is Use.FORWARD and self.recipients is None:
            raise ValueError("recipients: is required where it is to be handed on")
        return self


class Permission(Message):
    """A provider permits the onward use of one of its messages to the nodes that it writes this to, or refuses it.

    A withdrawal of this message takes it back. `restrictions` has its conditions.
    """

    message: Annotated[UUID, Field(description="The id of the provider's own earlier message.")]
    use: Use
    granted: bool
    recipients: Annotated[_Recipients, Field(description="Nodes that it may be handed on to.")] | None = None
    text: Text | None = None

    @model_validator(mode="after")
    def _says_to_whom(self) -> Self:
        if self.granted and self.use is Use.FORWARD and self.recipients is None:
            raise ValueError("recipients: is required where it may be handed on")
        return self


KINDS: Final = (
    Kind(
        "permission.request",
        1,
        PermissionRequest,
        examples=(
            {
                "message": "01a20f97-e270-71d7-88d6-b834d3465199",
                "use": "forward",
                "recipients": ["hu"],
                "purpose": "The trucks of Иван Стоянов, Νίκος Παπαδάκης and Ştefan Zăvoianu are expected in Hungary",
            },
        ),
    ),
    Kind(
        "permission",
        1,
        Permission,
        examples=(
            {
                "message": "01a20f97-e270-71d7-88d6-b834d3465199",
                "use": "forward",
                "granted": True,
                "recipients": ["hu"],
                "restrictions": "For the customs of Hungary only; Νίκος Παπαδάκης and Nagy István may know of it. "
                "No check is made before Иван Стоянов has left Bulgaria.",
            },
            {"message": "01a20f97-e270-71d7-88d6-b834d3465199", "use": "judicial", "granted": False},
        ),
    ),
)
