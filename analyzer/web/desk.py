"""What every request may use, and who asks."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request

from analyzer.web.guard import Token
from analyzer.web.jobs import Jobs
from analyzer.web.receiving import Receiver
from analyzer.web.refusal import Refusal
from analyzer.web.settings import Settings
from analyzer.web.store import Store


@dataclass(frozen=True, slots=True)
class Desk:
    """What the application works with; `request.app.state.desk`."""

    settings: Settings
    token: Token
    store: Store
    jobs: Jobs
    receiver: Receiver


def desk(request: Request) -> Desk:
    """Return what the application works with."""
    found: Desk = request.app.state.desk
    return found


def who(request: Request) -> str:
    """Return the user that a server in front named, else whose token was shown; empty for the server's own token."""
    named: str = request.scope.get("user", "")
    shown: str = getattr(request.state, "shown", "")
    return named or shown


def operator(request: Request) -> None:
    """Refuse all but the server's own token, shown by somebody whom no server in front named."""
    if who(request):
        raise Refusal(403, "Only the operator may do that, with the server's own access token.")
