"""A connection under test, told as a dialogue."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from analyzer.conntrack import Connection, Judgement, Segment
from analyzer.conntrack.entry import Side
from analyzer.conntrack.states import ACK, SYN

CLIENT, SERVER = 1_000_000, 5_000_000
"""The first sequence numbers of both sides."""


@dataclass
class Talk:
    """Judges what two sides say; the clock moves a millisecond with each segment."""

    connection: Connection
    now: int = 0
    said: list[Judgement] = field(default_factory=list)

    def _say(self, reply: bool, flags: int, seq: int, ack: int, window: int, **more: object) -> Judgement:
        self.now += 1_000_000
        segment = Segment(
            reply=reply,
            time=self.now,
            seq=seq % 2**32,
            ack=ack % 2**32,
            flags=flags,
            window=window,
            **more,  # type: ignore[arg-type]
        )
        self.said.append(self.connection.judge(segment))
        return self.said[-1]

    def client(self, flags: int, seq: int, ack: int = 0, window: int = 10_000, **more: object) -> Judgement:
        """Send from the side that opens the connection."""
        return self._say(False, flags, seq, ack, window, **more)

    def server(self, flags: int, seq: int, ack: int = 0, window: int = 20_000, **more: object) -> Judgement:
        """Send from the other side."""
        return self._say(True, flags, seq, ack, window, **more)

    def handshake(self, *, wscale: int | None = None, sack: bool = True) -> Talk:
        """Open the connection: afterwards the client is at `CLIENT + 1`, the server at `SERVER + 1`."""
        options = {"wscale": wscale, "sack_permitted": sack, "options": True}
        self.client(SYN, CLIENT, **options)
        self.server(SYN | ACK, SERVER, CLIENT + 1, **options)
        self.client(ACK, CLIENT + 1, SERVER + 1)
        return self

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.now += int(seconds * 1e9)

    def side(self, reply: bool) -> Side:
        """Look at what the entry knows of one side."""
        assert self.connection.entry is not None
        return self.connection.entry.sides[reply]


Start = Callable[..., Talk]
"""Begins a dialogue under a generation's rules, with some settings."""
