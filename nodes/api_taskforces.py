"""The part of the agent's API that is about task forces: who is in them, and what their coordinators order."""

import asyncio
from typing import Annotated, Any

from fastapi import FastAPI, Query

from nodes import orders
from nodes.agent import Agent
from nodes.errors import RoutingRefused
from nodes.orders import Wanted
from schemas.codes import TASK_FORCES
from schemas.refusals import RefusalCode


def add_task_forces(app: FastAPI, agent: Agent, authorised: Any) -> None:
    """Adds its paths; `authorised` is what each of them depends on."""
    giving = asyncio.Lock()

    @app.get("/v1/task-forces", dependencies=[authorised], summary="Task forces, their members and coordinators")
    async def task_forces() -> list[dict[str, Any]]:
        return [_described(agent, code) for code in TASK_FORCES]

    @app.post(
        "/v1/task-forces/{code}/orders",
        status_code=202,
        dependencies=[authorised],
        summary="As its coordinator: admit, suspend, open, close",
    )
    async def give(code: str, wanted: Wanted) -> dict[str, Any]:
        """Stores the order, signed; the hub's receipt says what became of it. Repeat with the same `id` at will."""
        if code not in TASK_FORCES:
            detail, step = f"task force {code[:40]!r} is not known", f"name one of {', '.join(TASK_FORCES)}"
            raise RoutingRefused(str(RefusalCode.TASK_FORCE_UNKNOWN), detail, step)
        # Each is of a later time than the one before.
        async with giving:
            node, key = agent.settings.node, agent.keys.signing
            return await orders.give(agent.box, agent.trust, node, key, code, wanted)

    @app.get("/v1/orders", dependencies=[authorised], summary="What was ordered here, newest first")
    async def ordered(limit: Annotated[int, Query(ge=1, le=500)] = 50) -> dict[str, Any]:
        return {"orders": await agent.box.run(orders.listing, limit)}


def _described(agent: Agent, code: str) -> dict[str, Any]:
    task_force, access = TASK_FORCES[code], agent.trust.access
    return {
        "code": code,
        "name": task_force.name,
        "parent": task_force.parent,
        "coordinator": access.coordinator(code),
        "members": access.members(code),
        "suspended": sorted(node for place, node in access.suspended if place == code),
        "opened": {node: sorted(kinds) for (place, node), kinds in sorted(access.opened.items()) if place == code},
    }
