"""The options for what is handed on: the evidence capture, and aliases instead of addresses."""

from __future__ import annotations

import functools
import hashlib
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from analyzer.cli.saying import note
from analyzer.errors import UnusableInput
from analyzer.incident.wording import count
from analyzer.result.saving import inode

if TYPE_CHECKING:
    from analyzer.result.analysis import Result

KEY_BYTES = 16
"""A shorter key file could be guessed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharing:
    """What the options ask for."""

    evidence: Path | None
    payload: bool
    key: bytes | None
    """Of the aliases; None where addresses are told as they are."""
    key_file: Path | None
    """Where the key's secret stands."""

    def keep_apart(self, output: Path | None, *read: Path | None) -> None:
        """Refuse an output that is another one's file, or one that is read beside the bundle."""
        told = [path for path in (self.key_file, *read) if path]
        for path, others in ((output, [*told, self.evidence]), (self.evidence, told)):
            for other in others:
                if path and other and _same(path, other):
                    raise UnusableInput(f"{path}: is {other}, which would be overwritten; give another file")

    def share(self, analysis: Result) -> Result:
        """Write the evidence, if wanted, and return what may be told."""
        if self.evidence is not None:
            from analyzer.report import evidence

            written = evidence.write(analysis, self.evidence, payload=self.payload, key=self.key)
            left_out = f", {written.left_out} left out" if written.left_out else ""
            note(f"{count(written.packets, 'packet')}{left_out}; the evidence is {self.evidence}")
        if self.key is None:
            return analysis
        from analyzer.report.redaction import redact

        return redact(analysis, self.key)


def sharing_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command these options; it gets them as its argument `sharing`."""

    @functools.wraps(function)
    def command(
        *args: Any, evidence: Path | None, payload: bool, redact: bool, redact_key: Path | None, **kwargs: Any
    ) -> Any:
        if payload and evidence is None:
            raise click.UsageError("--payload says what --evidence writes; give both")
        if payload and (redact or redact_key):
            raise click.UsageError("--payload cannot be redacted: it may name addresses in any form")
        if evidence is not None:
            _keep_apart(evidence, kwargs["paths"])
        key = _key(redact_key) if redact_key else secrets.token_bytes(32) if redact else None
        return function(
            *args, sharing=Sharing(evidence=evidence, payload=payload, key=key, key_file=redact_key), **kwargs
        )

    for decorate in (
        click.option(
            "--redact-key",
            type=click.Path(dir_okay=False, path_type=Path),
            metavar="KEYFILE",
            help="As --redact, with the secret in KEYFILE (16 bytes or more): the same aliases in every run.",
        ),
        click.option(
            "--redact",
            is_flag=True,
            help="Replace addresses with aliases in all output, keeping prefixes. A new key is drawn "
            "in each run and forgotten.",
        ),
        click.option(
            "--payload", is_flag=True, help="Keep payload in the --evidence file; by default it is cut off."
        ),
        click.option(
            "--evidence",
            type=click.Path(dir_okay=False, path_type=Path),
            metavar="FILE.pcapng",
            help="Also write the incidents' packets, of all points, as one capture with comments for Wireshark.",
        ),
    ):
        command = decorate(command)
    return command


def _keep_apart(evidence: Path, paths: Sequence[str]) -> None:
    """Refuse a place where the evidence would overwrite a capture, or be taken for one the next time."""
    for path in map(Path, paths):
        if path.resolve() in (evidence.resolve(), *evidence.resolve().parents):
            raise click.UsageError(
                f"--evidence {evidence} lies in {path}, and would be read as one of its captures; choose another place"
            )


def _same(one: Path, other: Path) -> bool:
    """Whether two paths are one file; also one that is not there yet."""
    found = inode(one)
    return found == inode(other) if found else one.resolve() == other.resolve()


def _key(file: Path) -> bytes:
    try:
        secret = file.read_bytes()
    except OSError as error:
        raise UnusableInput(
            f"--redact-key: {file}: cannot be read: {error.strerror}; make a key with head -c 32 /dev/urandom > {file}"
        ) from None
    if len(secret) < KEY_BYTES:
        raise UnusableInput(
            f"--redact-key: {file} has {len(secret)} bytes, a key needs {KEY_BYTES}; make one with "
            f"head -c 32 /dev/urandom > {file}"
        )
    return hashlib.sha256(secret).digest()
