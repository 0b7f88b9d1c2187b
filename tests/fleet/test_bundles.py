"""Which bundles there are below a folder, whose, and whether they have changed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import analyzer.fleet.bundles
from analyzer.errors import UnusableInput
from analyzer.fleet.bundles import FleetBundle, find
from analyzer.fleet.places import Place


def tree(root: Path, *names: str) -> Place:
    """Make files."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return Place.at(str(root))


def found(root: Path, *names: str) -> dict[str, tuple[str, ...]]:
    """Bundles, as `node: path`, and their files."""
    return {f"{b.node}: {b.path}": b.files for b in find(tree(root, *names))}


def test_a_folder_of_a_node(tmp_path: Path) -> None:
    """A folder with captures is a bundle with all below it; the first folder names the node."""
    assert {
        "node7: node7/monday": ("node7/monday/eth0.pcap", "node7/monday/more/uname.txt"),
        "node7: node7/tuesday": ("node7/tuesday/cni0.pcapng.zst",),
        "node8: node8": ("node8/eth0.pcap1",),
    } == found(
        tmp_path,
        "node7/monday/eth0.pcap",
        "node7/monday/more/uname.txt",
        "node7/tuesday/cni0.pcapng.zst",
        "node8/eth0.pcap1",
    )


def test_the_outermost_folder_with_captures(tmp_path: Path) -> None:
    """Captures further down belong to it, as for `lostsyn check`."""
    assert {"a: a/x": ("a/x/eth0.pcap", "a/x/pods/one/veth1.pcap")} == found(
        tmp_path, "a/x/eth0.pcap", "a/x/pods/one/veth1.pcap"
    )


def test_archives(tmp_path: Path) -> None:
    """An archive is a bundle, unless it lies in one; in the root it names its node itself."""
    assert {
        "node1: node1.tar.gz": ("node1.tar.gz",),
        "node2: node2/monday.zip": ("node2/monday.zip",),
        "node3: node3/x": ("node3/x/eth0.pcap", "node3/x/inner.tgz"),
    } == found(tmp_path, "node1.tar.gz", "node2/monday.zip", "node3/x/eth0.pcap", "node3/x/inner.tgz")


def test_near_misses(tmp_path: Path) -> None:
    """Text alone, hidden files, archives that are not read, and captures in the root itself are no bundle."""
    assert {"a: a": ("a/eth0.pcap",)} == found(
        tmp_path,
        "a/eth0.pcap",
        "b/notes.txt",
        "c/.hidden/eth0.pcap",
        ".d/eth0.pcap",
        "stray.pcap",
        "e/x.tar.bz2",
    )


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("a/notes.txt",), "no bundle found: neither a folder with captures"),
        (("eth0.pcap",), "captures lie in the folder itself, so it is one node's bundle: use lostsyn check"),
        ((), "no bundle found"),
    ],
)
def test_no_bundle(names: tuple[str, ...], said: str, tmp_path: Path) -> None:
    """One sentence that says what to do."""
    with pytest.raises(UnusableInput, match=said):
        find(tree(tmp_path, *names))


def test_links_lead_nowhere(tmp_path: Path) -> None:
    """A folder that contains itself through a link is searched once."""
    place = tree(tmp_path, "a/eth0.pcap")
    (tmp_path / "a" / "again").symlink_to(tmp_path)

    assert ["a"] == [bundle.path for bundle in find(place)]


def test_any_store(tmp_path: Path) -> None:
    """A store that is no file system gives the same bundles."""
    place = Place.at(f"memory:/{tmp_path}")
    place.write("a/x/eth0.pcap", b"1234")
    (bundle,) = find(place)

    assert ("a/x", "a", 4) == (bundle.path, bundle.node, bundle.size)


def test_a_change_changes_the_fingerprint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Content of another size or time, a further file, another version; and of this bundle alone."""
    place = tree(tmp_path, "a/x/eth0.pcap", "b/x/eth0.pcap")

    def prints() -> list[str]:
        return [bundle.fingerprint for bundle in find(place)]

    seen = [prints()]
    assert seen[0] == prints()
    (tmp_path / "a/x/eth0.pcap").write_text("longer than it was")
    seen.append(prints())
    os.utime(tmp_path / "a/x/eth0.pcap", (1, 1))
    seen.append(prints())
    tree(tmp_path, "a/x/cni0.pcap")
    seen.append(prints())

    assert 4 == len({a for a, _ in seen})
    assert 1 == len({b for _, b in seen})
    monkeypatch.setattr(analyzer.fleet.bundles, "__version__", "99")
    assert all(a != b for a, b in zip(seen[-1], prints(), strict=True))


@given(st.lists(st.text(min_size=1, max_size=60), min_size=2, max_size=5, unique=True))
def test_keys(paths: list[str]) -> None:
    """A key is fit for a file name in any store, and no other bundle's."""
    keys = [FleetBundle(path=path, node="", files=(), size=0, fingerprint="").key for path in paths]

    assert len(set(keys)) == len(paths)
    assert all(key.replace("-", "").isalnum() and key.isascii() and len(key) < 60 for key in keys)
