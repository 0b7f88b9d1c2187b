"""The window: what was read makes room, and a record larger than the buffer makes it grow."""

from __future__ import annotations

import io

from analyzer.capture.compressed import Stream
from analyzer.capture.scan import SLACK
from analyzer.capture.window import Window


def test_everything_passes_through_in_order() -> None:
    """Whatever is taken at a time."""
    data = bytes(range(256)) * 3
    window, found = Window(Stream(io.BytesIO(data)), 100), b""
    while window.more():
        taken = min(window.left, 70)
        found += window.data[window.position : window.position + taken]
        window.position += taken

    assert data == found + window.data[window.position : window.end]
    assert window.exhausted
    assert len(data) == window.base + window.end


def test_it_grows_while_nothing_is_taken() -> None:
    """The slack behind what is valid stays."""
    window = Window(Stream(io.BytesIO(bytes(1000))), 100)
    while window.more():
        assert len(window.data) >= window.end + SLACK

    assert 1000 == window.left
