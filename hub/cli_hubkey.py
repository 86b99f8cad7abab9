"""`seci-hub hub-key`: another key takes the place of the one that signs rosters and checkpoints, while messages go on.

Each command is a step, safe to repeat, and says what comes next.
"""

from typing import Any, Final

import typer
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from crypto.handover import open_handover
from crypto.keyoptions import Pkcs11Module, Pkcs11Pin, Pkcs11Token, token_of
from crypto.keys import key_id_of
from hub import handing, registrar, tables
from hub.errors import RolloverRefused
from hub.ledger import Ledger, head
from hub.locked import hold_keys
from hub.roles import Action
from hub.settings import Settings
from hub.setup import hub_key, ledger_of
from hub.shell import AsJson, Home, acting, answer, now_ms, say, take_over, with_database
from hub.watch import iso
from schemas.handover import HandoverNews

hubkey_app: Final = typer.Typer(no_args_is_help=True, help="Another key takes the place of the hub's signing key.")


@hubkey_app.command()
def show(home: Home, as_json: AsJson = False) -> None:
    """Show the key that signs, the one that was prepared, and of each handover how many witnesses have followed it."""
    settings = Settings.load(home)
    take_over(settings)
    acting(settings, Action.LOOK)
    log, new = ledger_of(settings), handing.prepared(home, settings.secret())
    found = with_database(settings, lambda connection: _handovers(connection, log))
    result = {
        "key": log.signer.key.public.key_id.hex(),
        "vkey": log.signer.verifier.vkey(),
        "prepared": None if new is None else new.public.key_id.hex(),
        "handovers": found,
    }
    lines = [f"signs       {result['key']}  {result['vkey']}", f"prepared    {result['prepared'] or 'none'}"]
    lines += [
        f"entry {item['index']:>6}  {item['at']}  from {item['old']} to {item['new']}, "
        f"cosigned by {item['cosigned']} of {item['witnesses']} witnesses"
        for item in found
    ]
    answer(result, as_json, "\n".join(lines))


@hubkey_app.command()
def prepare(
    context: typer.Context,
    home: Home,
    pkcs11_module: Pkcs11Module = None,
    pkcs11_token: Pkcs11Token = None,
    pkcs11_pin_file: Pkcs11Pin = None,
    as_json: AsJson = False,
) -> None:
    """Make the key that is to sign next: in a token if one is named, or today's is in one. It signs nothing yet.

    Repeated, it shows the same. To have another, delete hub.next.key.
    """
    hold_keys(context, home)
    settings, token = Settings.load(home), token_of(pkcs11_module, pkcs11_token, pkcs11_pin_file)
    take_over(settings)
    actor = acting(settings, Action.PROVISION, {"hub_key": "prepare"})
    is_new = not (home / handing.NEXT).exists()
    new = handing.prepare(home, settings.secret(), token)
    if is_new:
        with_database(settings, _nothing_else, ledger_of(settings), actor)
    kid = new.public.key_id.hex()
    answer({"key": kid, "in_token": new.reference is not None}, as_json, f"the next key is {kid}")
    say(f"next: back up {home}; tell the nodes' administrators the key's id by telephone; then `seci-hub hub-key roll`")


@hubkey_app.command()
def roll(context: typer.Context, home: Home, as_json: AsJson = False) -> None:
    """Hand over to the key that was prepared: from the next entry of the ledger on it signs, and the old one no more.

    Running workers take the new key by themselves, and tell the nodes, who go on with it without anybody's doing.
    There is no way back. Refused (4) if no key was prepared, or the handover before is not cosigned by most witnesses.
    """
    hold_keys(context, home)
    settings = Settings.load(home)
    if take_over(settings):
        acting(settings, Action.LOOK)
        say("a handover that was cut off has been carried to its end")
        _answer(settings, as_json)
        return
    log, new = ledger_of(settings), handing.prepared(home, settings.secret())
    old = log.signer.key.public.key_id.hex()
    if new is None:
        acting(settings, Action.LOOK)
        raise RolloverRefused(f"no key was prepared to take the place of {old}", "first `seci-hub hub-key prepare`")
    subject = {"hub_key": "roll", "old": old, "new": new.public.key_id.hex()}

    async def possible(connection: AsyncConnection) -> None:
        last = (await _handovers(connection, log))[-1:]
        if any(item["witnesses"] and 2 * item["cosigned"] <= item["witnesses"] for item in last):
            raise RolloverRefused(
                "most witnesses have not cosigned the handover before this one yet",
                "see that the nodes' agents run: seci-hub hub-key show",
            )

    actor = acting(settings, Action.KEYS, subject, possible)
    with_database(settings, lambda connection: handing.roll(connection, log, new), log, actor)
    take_over(settings)
    _answer(settings, as_json)
    say(
        "next: give the new ledger key to auditors, whose policies name the old one; see who has followed: hub-key show"
    )
    if log.signer.key.reference is not None:
        say(f"the old key is still in its token, as {log.signer.key.reference.key!r}: delete it there")


def _answer(settings: Settings, as_json: bool) -> None:
    log = ledger_of(settings)
    last = with_database(settings, lambda connection: _handovers(connection, log))[-1]
    result = {"key": hub_key(settings).public.key_id.hex(), "vkey": log.signer.verifier.vkey(), "handover": last}
    text = f"handed over at entry {last['index']} from {last['old']} to {last['new']}\nledger key  {result['vkey']}"
    answer(result, as_json, text)


async def _nothing_else(_: AsyncConnection) -> None:
    return None


async def _handovers(connection: AsyncConnection, log: Ledger) -> list[dict[str, Any]]:
    table, cosignature = tables.handover.c, tables.cosignature.c
    if not (await head(connection)).range.size or not await registrar.newest(connection, 0):
        return []
    witnesses = (await registrar.trust(connection, log.keys)).witnesses(now_ms())
    found = []
    for row in await connection.execute(select(tables.handover).order_by(table.leaf_index)):
        said = open_handover(HandoverNews.from_bytes(row.news).handover)
        query = select(func.count()).where(cosignature.size == said.size + 1, cosignature.node.in_(list(witnesses)))
        found.append(
            {
                "index": row.leaf_index,
                "at": iso(row.at),
                "old": key_id_of(said.old).hex(),
                "new": key_id_of(said.new).hex(),
                "cosigned": await connection.scalar(query),
                "witnesses": len(witnesses),
            }
        )
    return found
