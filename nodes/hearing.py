"""Whether the link has been up for long enough that the hub could say all that it had to say."""

from dataclasses import dataclass
from typing import Final

from nodes.link import LinkState

# How long it is listened to, once the link has come up.
GRACE_MS: Final = 60_000
# Of a link that never lasts so long: in all its pieces.
PIECES_MS: Final = 10 * GRACE_MS


@dataclass(slots=True)
class Hearing:
    """What `heard` has seen, each time it was asked: at `looked` (ms), the link having been up for `pieces_ms`.

    The last piece began at `since` (ms).
    """

    pieces_ms: int = 0
    looked: int = 0
    since: int = 0

    def heard(self, link: LinkState, now: int) -> bool:
        """Whether the link is up and has been for a minute, or in pieces for ten since that was last so.

        Then it is for as long as the piece lasts: what has waited is more than can be decided at one look. To be asked
        every few seconds: of a piece that comes and goes in between nothing is seen.
        """
        if link.connected:
            if link.since != self.since and self.pieces_ms >= PIECES_MS:
                self.pieces_ms = 0
            self.since = link.since
            # However far the clock was set forward, a look is worth a minute at most.
            self.pieces_ms += min(max(0, now - max(link.since, self.looked)), GRACE_MS)
        self.looked = now
        if link.connected and now >= link.since + GRACE_MS:
            self.pieces_ms = 0
            return True
        return link.connected and self.pieces_ms >= PIECES_MS
