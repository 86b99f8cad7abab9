"""The part of the agent's REST API that renews keys and the certificate, and says when they end."""

from typing import Annotated, Any, Literal

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field

from nodes.agent import Agent
from nodes.times import iso


class Renew(BaseModel):
    """What is to be renewed; all of it if nothing is named."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    what: Annotated[tuple[Literal["signing", "encryption", "witness", "tls"], ...], Field(min_length=1)] = (
        "signing",
        "encryption",
        "witness",
        "tls",
    )


def add_renewal(app: FastAPI, agent: Agent, authorised: Any) -> None:
    """Adds the paths under /v1/renewal."""

    @app.post("/v1/renewal", status_code=202, dependencies=[authorised], summary="Renew keys or the certificate")
    async def renew(what: Renew) -> dict[str, Any]:
        """Begins; the new ones are in use once the hub's roster lists them, seconds later."""
        agent.renewing.want(what.what)
        return {"wanted": list(what.what)}

    @app.get("/v1/renewal", dependencies=[authorised], summary="When keys and certificate end, and what is asked for")
    async def renewal() -> dict[str, Any]:
        ends = {what: iso(end) for what, end in agent.renewing.ends().items()}
        return {"ends": ends, "pending": agent.renewing.pending(), "wanted": sorted(agent.renewing.wanted)}
