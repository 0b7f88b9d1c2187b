"""Print the bill of materials of what is installed beside Lostsyn, as CycloneDX 1.6 JSON (`make sbom`).

It is made of the environment's own metadata: a release's is that of an environment that has the wheel and nothing else.
"""

from __future__ import annotations

import json
import os
import re
import uuid
from datetime import UTC, datetime
from importlib.metadata import Distribution, PackageNotFoundError, distribution

from packaging.requirements import Requirement


def closure(name: str, extras: tuple[str, ...] = ()) -> dict[str, Distribution]:
    """What a distribution needs here, itself included, by normalised name."""
    found: dict[str, Distribution] = {}
    asked = [(name, extras)]
    for name, extras in asked:
        key = re.sub(r"[-_.]+", "-", name).lower()
        if key in found and not extras:
            continue
        try:
            found[key] = distribution(name)
        except PackageNotFoundError:
            continue  # of another Python or system
        for text in found[key].requires or ():
            need = Requirement(text)
            if need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in (*extras, "")):
                asked.append((need.name, tuple(need.extras)))
    return found


def licence(of: Distribution) -> str:
    """The SPDX expression if one is declared, else what the metadata say in the classifiers or in a line of their own."""
    told = of.metadata
    classifiers = [
        text.rpartition(" :: ")[2]
        for text in told.get_all("Classifier") or ()
        if text.startswith("License ::")
    ]
    declared: str = told.get("License-Expression") or told.get("License") or ""
    if declared and "\n" not in declared:
        return declared
    return " AND ".join(classifiers) or "not declared"


def bill() -> dict[str, object]:
    """The document."""
    parts = {
        name: {
            "type": "library",
            "bom-ref": name,
            "name": name,
            "version": of.version,
            "purl": f"pkg:pypi/{name}@{of.version}",
            "licenses": [{"license": {"name": licence(of)}}],
        }
        for name, of in sorted(closure("lostsyn").items())
    }
    main = {**parts.pop("lostsyn"), "type": "application"}
    epoch = int(os.environ.get("SOURCE_DATE_EPOCH") or datetime.now(UTC).timestamp())
    names = " ".join(f"{part['name']}=={part['version']}" for part in (main, *parts.values()))
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, names)}",
        "version": 1,
        "metadata": {
            "timestamp": f"{datetime.fromtimestamp(epoch, UTC):%Y-%m-%dT%H:%M:%SZ}",
            "component": main,
        },
        "components": list(parts.values()),
        "dependencies": [
            {"ref": "lostsyn", "dependsOn": sorted(parts)},
            *({"ref": name} for name in sorted(parts)),
        ],
    }


if __name__ == "__main__":
    print(json.dumps(bill(), indent=2))  # noqa: T201
