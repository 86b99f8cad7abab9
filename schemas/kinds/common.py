"""What several kinds share: the base configuration and the parts of a body."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from schemas.codes import InformationEvaluation, SourceEvaluation

# As long as the sender likes: the limit is that of the whole body, 1 MiB.
Text = Annotated[str, Field(min_length=1)]
Line = Annotated[str, Field(min_length=1, max_length=300)]


class Body(BaseModel):
    """The content of a message. Unknown fields are refused at the sender, who may have mistyped one."""

    # Built at first use: who needs one kind does not wait for all of them.
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, defer_build=True)


class Message(Body):
    """The body of a whole message, whatever its kind: what holds for its handling, in words."""

    restrictions: (
        Annotated[Text, Field(description="What the sender allows and forbids, in words; needed with handling H3.")]
        | None
    ) = None


class Evaluation(Body):
    """The 4x4 evaluation of the information, for example A1 or X4."""

    source: SourceEvaluation
    information: InformationEvaluation
