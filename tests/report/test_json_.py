"""The machine-readable report and its schema."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from analyzer.expectations import Expectation, Rule
from analyzer.report import json_
from analyzer.report.checked import Checked

NAMES = ["race", "late_ack", "both", "clean", "empty"]


@pytest.mark.parametrize("name", NAMES)
def test_follows_the_schema(sample, name: str) -> None:
    """Every analysis is printed as the schema says, and comes back from the text as it was."""
    document = json_.to_dict(getattr(sample, name)())
    jsonschema.validate(document, json_.schema(), cls=jsonschema.Draft202012Validator)

    assert document == json.loads(json_.render(getattr(sample, name)()))


def test_the_schema_is_one() -> None:
    """The schema is valid by draft 2020-12 itself."""
    jsonschema.Draft202012Validator.check_schema(json_.schema())


def undescribed(value: Any, schema: dict[str, Any], root: dict[str, Any], path: str = "$") -> list[str]:
    """Return the paths of keys in *value* that *schema* does not name."""
    if "anyOf" in schema:
        schema = schema["anyOf"][0]
    if "$ref" in schema:
        schema = root if schema["$ref"] == "#" else root["$defs"][schema["$ref"].rsplit("/", 1)[-1]]
    if isinstance(value, dict) and "additionalProperties" not in schema:
        found = [f"{path}.{key}" for key in value if key not in schema.get("properties", {})]
        for key, item in value.items():
            found += undescribed(item, schema.get("properties", {}).get(key, {}), root, f"{path}.{key}")
        return found
    if isinstance(value, list):
        return [
            miss for item in value for miss in undescribed(item, schema.get("items", {}), root, f"{path}[]")
        ]
    return []


def test_the_schema_names_every_key(sample) -> None:
    """The schema allows additions for the future, and describes all that is printed today."""
    schema = json_.schema()

    assert [] == undescribed(json_.to_dict(sample.both()), schema, schema)
    assert ["$.surprise"] == undescribed({"surprise": 1}, schema, schema)


@pytest.mark.parametrize("key", ["format_version", "bundle", "points", "counts", "incidents", "caveats"])
def test_the_schema_demands_the_outer_keys(sample, key: str) -> None:
    """A document without one of the outer keys is refused."""
    document = json_.to_dict(sample.race())
    del document[key]
    with pytest.raises(jsonschema.ValidationError, match=key):
        jsonschema.validate(document, json_.schema())


def test_times_and_packets(sample) -> None:
    """Times keep their nanoseconds, and a packet is a point, a file and a frame."""
    incident = json_.to_dict(sample.race())["incidents"][0]
    first = incident["findings"][0]["attempts"][0]

    assert "2026-11-20T10:58:16.433456789Z" == first["time"]
    assert "vanished" == first["fate"]
    assert {"point": "veth1a2b", "file": "veth1a2b.pcap", "frame": 17} == first["packets"][0]
    assert ["cni0", "eth0"] == incident["gap"]


def test_the_text_is_ascii(sample) -> None:
    """No character of a capture can act on a terminal that shows the text."""
    assert json_.render(sample.both()).isascii()


def test_with_expectations(sample) -> None:
    """The document says whether the bundle is as expected, and in what it is not."""
    fine = Expectation(rules=(Rule(cause="snat-port-race"),), source="lostsyn.toml")
    wanting = Expectation(rules=(Rule(cause="policy-drop"),), source="lostsyn.toml")
    met, unmet = (
        json.loads(json_.render_checked(Checked.of(["b"], sample.race(), one))) for one in (fine, wanting)
    )
    for document in (met, unmet):
        jsonschema.validate(document, json_.schema())
        assert [] == undescribed(document, json_.schema(), json_.schema())

    assert {"file": "lostsyn.toml", "met": True, "unmet": []} == met["expectations"]
    assert not unmet["expectations"]["met"]
    assert ["syn-vanished-1", None] == [one["incident"] for one in unmet["expectations"]["unmet"]]
    assert json_.render(sample.race()) == json_.render_checked(Checked.of(["b"], sample.race()))


def test_each(sample) -> None:
    """Several bundles make one document; one that could not be analysed has its error there."""
    schema = json_.schema()
    told = json.loads(
        json_.render_each([Checked.of(["a", "b"], sample.race()), Checked(paths=("c",), error="no capture")])
    )
    jsonschema.validate(told, schema, cls=jsonschema.Draft202012Validator)

    assert [] == undescribed(told, schema["$defs"]["each"], schema)
    assert json_.to_dict(sample.race()) == told["bundles"][0].pop("report")
    assert [
        {"paths": ["a", "b"], "exit": 1, "error": None},
        {"paths": ["c"], "exit": 2, "error": "no capture", "report": None},
    ] == told["bundles"]


def test_the_schema_looks_into_each(sample) -> None:
    """A report inside is held to the schema as one alone is."""
    told = json.loads(json_.render_each([Checked.of(["a"], sample.race())]))
    del told["bundles"][0]["report"]["counts"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(told, json_.schema())
