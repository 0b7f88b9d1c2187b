"""The uploads and their jobs in the database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from analyzer.web.folder import Outcome
from analyzer.web.store import ATTEMPTS, Store

DONE = Outcome(says="6 SYNs vanished", incidents=1, inconclusive=None)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Return an empty database."""
    made = Store(tmp_path)
    yield made
    made.close()


def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    """What was committed is read back by the next server, in write-ahead mode."""
    first = Store(tmp_path)
    upload = first.create("node7")
    file = first.declare(upload, "eth0.pcap", 10)
    first.complete(upload, file.number, 10)
    first.queue(upload, {"eth0": "uplink"})
    first.close()
    second = Store(tmp_path)
    found = second.get(upload.id)

    assert found is not None
    assert ("node7", "queued", {"eth0": "uplink"}) == (found.name, found.state, found.roles)
    assert [("eth0.pcap", 10, True)] == [
        (each.name, each.size, each.complete) for each in second.files(found)
    ]
    assert ("wal",) == tuple(second._db.execute("PRAGMA journal_mode").fetchone())
    second.close()


def test_files_of_one_name_get_folders(store: Store) -> None:
    """A second eth0.pcap is put into a folder, by which the analysis tells the two points apart."""
    upload = store.create("")
    names = [store.declare(upload, "eth0.pcap", None).name for _ in range(3)]

    assert ["eth0.pcap", "2/eth0.pcap", "3/eth0.pcap"] == names


def test_numbers_are_never_used_again(store: Store) -> None:
    """Files are numbered within their upload; one that was taken out leaves its number to nobody."""
    upload, other = store.create(""), store.create("")
    store.declare(upload, "a", 1)
    store.remove(upload, store.declare(upload, "b", 1).number)

    assert (3, 1) == (store.declare(upload, "c", 1).number, store.declare(other, "a", 1).number)


def test_what_people_say(store: Store) -> None:
    """Name, note, tags and owner are kept, each is found, and what is not given stays."""
    upload = store.create("node7", "ann@b.example")
    store.describe(upload, note="after the update", tags=["prod", "caf\u00e9"])
    store.describe(upload, name="node8")
    found = store.get(upload.id)

    assert found
    assert ("node8", "after the update", ("prod", "caf\u00e9")) == (found.name, found.note, found.tags)
    for words in ("node8", "update", "prod", "caf\u00e9", "ann@"):
        assert ([found], 1) == store.search(words)
    assert ([], 0) == store.search("node7")


def test_what_was_done_is_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The latest first, page by page; the oldest go."""
    monkeypatch.setattr("analyzer.web.store.NOTED", 3)
    for number in range(5):
        store.note("ann", "did", str(number))
    page = store.deeds(2)

    assert ["4", "3"] == [deed.name for deed in page]
    assert ["2"] == [deed.name for deed in store.deeds(2, page[-1].number)]


def test_jobs_come_in_the_order_they_were_asked_for(store: Store) -> None:
    """Who waits longest is next; asking again does not cost the place; each is claimed once."""
    uploads = [store.create(str(number)) for number in range(3)]
    for upload in (uploads[2], uploads[0], uploads[1], uploads[2]):
        store.queue(upload, {})
    claimed = [store.claim() for _ in range(4)]

    assert ["2", "0", "1", None] == [found and found.name for found in claimed]


def test_a_job_survives_a_restart(store: Store) -> None:
    """What ran when the server died is queued again; an orderly stop costs no attempt; the third death is the last."""
    upload = store.create("")
    store.queue(upload, {})
    for _ in range(ATTEMPTS - 1):
        assert store.claim()
        store.recover()
    claimed = store.claim()
    assert claimed
    store.release(claimed)
    assert store.claim()
    store.recover()
    found = store.get(upload.id)

    assert found is not None
    assert ("failed", None) == (found.state, store.claim())
    assert f"stopped {ATTEMPTS} times" in found.says


def test_a_failure_keeps_the_results_before(store: Store) -> None:
    """When a further analysis fails, what the last good one found is still told."""
    upload = store.create("")
    for fails in (False, True):
        store.queue(upload, {})
        store.claim()
        if fails:
            store.fail(upload, "It crashed.")
        else:
            store.finish(upload, DONE)
    found = store.get(upload.id)

    assert found is not None
    assert ("failed", "It crashed.", 1) == (found.state, found.says, found.incidents)


def test_a_running_analysis_cannot_be_queued(store: Store) -> None:
    """Asking while it runs changes nothing: one analysis of an upload at a time."""
    upload = store.create("")
    store.queue(upload, {})
    store.claim()
    store.queue(upload, {"eth0": "pod"})
    found = store.get(upload.id)

    assert found is not None
    assert ("running", {}) == (found.state, found.roles)


def test_search(store: Store) -> None:
    """Every word must be in the name, the verdict or a file's name; wildcards are letters; the latest come first."""
    one, other = store.create("checkout at 100%"), store.create("dns")
    store.declare(one, "node_7/eth0.pcap", 1)
    store.declare(other, "node17/eth0.pcap", 1)
    store.queue(one, {})
    store.claim()
    store.finish(one, DONE)

    def found(words: str) -> list[str]:
        return [upload.name for upload in store.search(words)[0]]

    assert ["dns", one.name] == found("") == found("ETH0")
    assert [one.name] == found("checkout vanished") == found("100%") == found("node_7")
    assert [] == found("checkout dns") == found("%%%") == found("'")
    assert ([], 2) == store.search(limit=0)


def test_sharing(store: Store) -> None:
    """A shared upload is found by its secret until it is withdrawn; sharing twice gives one link."""
    upload = store.create("")
    secret = store.share(upload, True)
    shared = store.get(upload.id)

    assert secret
    assert shared
    assert secret == shared.share == store.share(shared, True)
    assert upload.id == getattr(store.shared(secret), "id", None)
    store.share(shared, False)
    assert store.shared(secret) is None
    assert store.shared("") is None


def test_retention_leaves_what_is_used(store: Store) -> None:
    """Old uploads are due, those that were touched or are being analysed are not."""
    old, queued = store.create("old"), store.create("queued")
    store.queue(queued, {})
    new = store.create("new")

    assert [old.id] == [upload.id for upload in store.untouched(new.touched)]
    store.declare(old, "a", 1)
    assert [] == store.untouched(new.touched)


def test_a_change_is_whole_or_nothing(store: Store) -> None:
    """A change that fails half-way leaves nothing behind, and the database usable."""
    upload = store.create("")

    def fail() -> None:
        with store._change() as db:
            db.execute("DELETE FROM upload")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()

    assert store.get(upload.id)
