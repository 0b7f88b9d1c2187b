"""Why a request is refused."""

from __future__ import annotations

from analyzer.errors import LostsynError


class Refusal(LostsynError):  # noqa: N818 - reads as the sentence it becomes
    """A request that is not granted: an HTTP status, and one sentence for whoever asked."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
