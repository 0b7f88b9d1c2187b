"""The HTTP API, as `curl` uses it, against its own description."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import Any

import jsonschema
import openapi_spec_validator
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analyzer.web import api, operating
from tests.conftest import FIXTURES, ROOT
from tests.web.serving import Server

DESCRIPTION: dict[str, Any] = json.loads((ROOT / "analyzer/web/openapi.json").read_text())


def _checked(told: object, name: str = "Upload") -> None:
    """Hold what the API tells against its schema; what is not described must not be there."""
    schema = {"$ref": f"#/components/schemas/{name}", "components": DESCRIPTION["components"]}
    jsonschema.validate(told, schema)
    assert isinstance(told, dict)
    assert set() == set(told) - set(DESCRIPTION["components"]["schemas"][name]["properties"])


def test_the_description_is_openapi(server: Server) -> None:
    """It is valid OpenAPI 3.1, and what the server hands out."""
    openapi_spec_validator.validate(DESCRIPTION)

    assert DESCRIPTION == server.client.get("/api/openapi.json").json()


def test_the_description_is_complete() -> None:
    """Each route is described, and each described one is there."""
    routes = {
        (route.path.replace(":int", ""), method.lower())
        for route in (*api.ROUTES, *operating.ROUTES)
        if route.path != "/operating"
        for method in route.methods or ()
        if not (method == "HEAD" and "GET" in (route.methods or ()))
    }
    described = {
        (path, method)
        for path, entry in DESCRIPTION["paths"].items()
        for method in entry
        if method != "parameters"
    }

    assert routes == described


def test_a_bundle_with_curl(server: Server) -> None:
    """One `curl` posts a bundle, others ask how it goes and fetch the JSON."""
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("needs curl")
    asked = [curl, "-sS", "--noproxy", "*", "-H", f"Authorization: Bearer {server.token}"]
    folder = FIXTURES / "snat-race"
    files = [f"-Ffiles=@{folder / name}" for name in ("veth-a.pcap", "cni0.pcap", "eth0.pcap", "uname.txt")]
    done = subprocess.run(
        [*asked, *files, "-Fname=node7", "-Frole:cni0=bridge", f"{server.url}/api/uploads"],
        check=True, capture_output=True,
    )  # fmt: skip
    posted = json.loads(done.stdout)
    _checked(posted)
    told = server.ended(posted["id"])
    _checked(told)
    fetched = subprocess.run(
        [*asked, server.url + told["results"]["report.json"]], check=True, capture_output=True
    )

    assert ("node7", "done", 1, {"cni0": "bridge"}) == (
        told["name"],
        told["state"],
        told["incidents"],
        told["roles"],
    )
    assert "snat-port-race" == json.loads(fetched.stdout)["incidents"][0]["cause"]


def test_the_long_way(server: Server, bundle: dict[str, bytes]) -> None:
    """Begin, announce, send in pieces, see it recognised, ask for the analysis, fetch, share, take out, delete."""
    created = server.client.post("/api/uploads", json={"name": "long"})
    _checked(created.json())
    base = created.headers["location"]
    for name in ("cni0.pcap", "eth0.pcap"):
        data = bundle[name]
        answer = server.client.post(f"{base}/files", json={"name": name, "size": len(data)})
        _checked(answer.json(), "File")
        url = answer.headers["location"]
        for at in range(0, len(data), 100_000):
            answer = server.client.patch(
                url, content=data[at : at + 100_000], headers={"Upload-Offset": str(at)}
            )
            assert 204 == answer.status_code
        assert ("?1", str(len(data))) == (answer.headers["upload-complete"], answer.headers["upload-length"])
    told = server.recognised(created.json()["id"])
    _checked(told)
    for point in told["points"]:
        _checked(point, "Point")
    assert [("cni0", "bridge", 420), ("eth0", "uplink", 408)] == [
        (point["name"], point["role"], point["packets"]) for point in told["points"]
    ]
    assert told["missing"][0].startswith("no capture of a pod")

    assert 202 == server.client.post(f"{base}/analysis").status_code
    told = server.ended(told["id"])
    assert "done" == told["state"]
    html = server.client.get(told["results"]["report.html"])
    assert "attachment" in html.headers["content-disposition"]
    assert "sandbox" in html.headers["content-security-policy"]

    shared = server.client.post(f"{base}/share").json()["shared"]
    del server.client.headers["Authorization"]
    try:
        assert 200 == server.client.get(shared).status_code
        assert 401 == server.client.get(told["results"]["report.html"]).status_code
    finally:
        server.client.headers["Authorization"] = f"Bearer {server.token}"
    assert None is server.client.delete(f"{base}/share").json()["shared"]
    assert 404 == server.client.get(shared).status_code

    assert 204 == server.client.delete(told["files"][0]["url"]).status_code
    assert ["eth0.pcap"] == [file["name"] for file in server.get(told["id"])["files"]]
    assert 204 == server.client.delete(base).status_code
    assert 404 == server.client.get(base).status_code


def test_what_people_say_of_an_upload(server: Server) -> None:
    """Name, note and tags can be changed, each alone, and are fit to be shown."""
    url = server.client.post("/api/uploads", json={"name": "first"}).headers["location"]
    server.client.patch(url, json={"note": "one\ntwo\x1b[2J", "tags": ["prod", " prod ", "", "x" * 50]})
    told = server.client.patch(url, json={"name": "second\nline"}).json()
    _checked(told)

    assert ("second line", ["prod", "x" * 40]) == (told["name"], told["tags"])
    assert told["note"].startswith("one\ntwo")
    assert "\x1b" not in told["note"]


def test_the_sample(server: Server) -> None:
    """A recorded incident is at hand; what is shared of it redacted has no address of it."""
    upload = server.client.post("/api/uploads", json={"sample": True}).json()
    base = upload["url"]
    assert 202 == server.client.post(f"{base}/analysis").status_code
    told = server.ended(upload["id"])
    shared = server.client.post(f"{base}/share", json={"redacted": True}).json()
    _checked(shared)
    page = server.client.get(shared["shared"]).text

    assert ("done", 1) == (told["state"], told["incidents"])
    assert shared["shared_redacted"]
    assert "10.244.0." in server.client.get(told["results"]["report.html"]).text
    assert "10.244.0." not in page
    assert "<main>" in page
    assert "10.244.0." not in server.client.get(told["results"]["redacted.html"]).text
    assert not server.client.post(f"{base}/share").json()["shared_redacted"]


def test_a_wrong_offset_tells_the_right_one(server: Server) -> None:
    """The client learns where to go on from the refusal itself."""
    _, url = server.begin("a", 10)
    server.client.patch(url, content=b"abc", headers={"Upload-Offset": "0"})
    answer = server.client.patch(url, content=b"abc", headers={"Upload-Offset": "0"})

    assert (409, "3", "?0") == (
        answer.status_code, answer.headers["upload-offset"], answer.headers["upload-complete"],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("method", "path", "how", "status", "says"),
    [
        ("POST", "/api/uploads", {"content": b"{"}, 400, "not JSON"),
        ("POST", "/api/uploads", {"content": b"[" * 100_000}, 400, "not JSON"),
        ("POST", "/api/uploads", {"json": []}, 400, "JSON object"),
        ("POST", "/api/uploads", {"json": {"name": 1}}, 400, "'name' must be a string"),
        ("POST", "{base}/files", {"json": {"name": "a"}}, 400, "'size' must be"),
        ("POST", "{base}/files", {"json": {"name": "a", "size": -1}}, 400, "'size' must be"),
        ("POST", "{base}/files", {"json": {"name": "a", "size": True}}, 400, "'size' must be"),
        ("POST", "{base}/files", {"json": {"name": "a", "size": 1 << 40}}, 413, "larger than 0.1 GiB"),
        ("POST", "{base}/analysis", {"json": {"roles": []}}, 400, "'roles' must map"),
        ("PATCH", "{base}/files/{number}", {"content": b"a"}, 400, "'Upload-Offset' must say"),
        ("PATCH", "{base}/files/{number}", {"content": b"a", "headers": {"Upload-Offset": "-1"}}, 400, "Upload-Offset"),
        ("PATCH", "{base}/files/{number}", {"content": b"a" * 99, "headers": {"Upload-Offset": "0"}}, 413, "announced"),
        ("PATCH", "{base}/files/999999", {"content": b"a", "headers": {"Upload-Offset": "0"}}, 404, "no such file"),
        ("PATCH", "{base}", {"json": {"name": None}}, 400, "'name' must be a string"),
        ("PATCH", "{base}", {"json": {"tags": ["a", 1]}}, 400, "'tags' must be"),
        ("PATCH", "{base}", {"json": {"tags": [str(n) for n in range(21)]}}, 413, "20 tags"),
        ("PATCH", "{base}", {"json": {"note": "x" * 4001}}, 413, "4,000"),
        ("POST", "{base}/share", {"json": {"redacted": 1}}, 400, "true or false"),
        ("GET", "{base}/report.json", {}, 404, "has not made it"),
        ("GET", "/api/uploads/..%2f..%2ftoken", {}, 404, "no such"),
        ("GET", "/api/uploads/none", {}, 404, "no such upload"),
        ("GET", "/api/nowhere", {}, 404, "no such page"),
        ("PUT", "/api/uploads", {}, 405, "PUT is not possible"),
    ],
)  # fmt: skip
def test_refusals(
    server: Server, method: str, path: str, how: dict[str, Any], status: int, says: str
) -> None:
    """Each is one sentence with its status, never a traceback."""
    upload, url = server.begin("a", 10)
    answer = server.client.request(
        method, path.format(base=f"/api/uploads/{upload}", number=url.rpartition("/")[2]), **how
    )

    assert status == answer.status_code
    _checked(answer.json(), "Error")
    assert says in answer.json()["error"]


def test_a_form_that_broke_leaves_nothing(server: Server) -> None:
    """What was not accepted is not kept: the client was told of no upload."""
    before = server.client.get("/api/uploads").json()["count"]
    answer = server.client.post(
        "/api/uploads",
        content=b'--b\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\nabc',
        headers={"Content-Type": "multipart/form-data; boundary=b"},
    )

    assert 400 == answer.status_code
    assert before == server.client.get("/api/uploads").json()["count"]


def test_an_empty_file(server: Server) -> None:
    """A file of no bytes is whole at once."""
    upload, url = server.begin("empty.txt", 0.0)  # which is an integer to JSON

    assert "?1" == server.client.head(url).headers["upload-complete"]
    assert [True] == [file["complete"] for file in server.get(upload)["files"]]


_ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=9), inner, max_size=2),
    max_leaves=4,
)
_KEYS = st.sampled_from(["name", "size", "roles", "tags", "note", "redacted", "sample", "\ud800", "eth0"])
_BODY = st.one_of(
    st.dictionaries(
        _KEYS, _ANY | st.dictionaries(st.text(max_size=5), st.sampled_from(["pod", "", "x"]))
    ).map(lambda found: json.dumps(found).encode()),
    st.binary(max_size=50),
)
_OPERATIONS = [
    (path, method)
    for path, entry in DESCRIPTION["paths"].items()
    for method in entry
    if method != "parameters" and path != "/api/openapi.json"
]


def _fits(body: bytes, schema: dict[str, Any]) -> bool:
    """Whether a body is what the description asks for; none at all is an empty object."""
    try:
        jsonschema.validate(json.loads(body or b"{}"), {**schema, "components": DESCRIPTION["components"]})
    except (ValueError, jsonschema.ValidationError):
        return False
    return True


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    operation=st.sampled_from(_OPERATIONS),
    number=st.integers(0, 1 << 70),
    real=st.booleans(),
    query=st.dictionaries(
        st.sampled_from(["q", "limit", "after", "before", "token"]), st.text(max_size=9), max_size=2
    ),
    offset=st.none() | st.integers(-1, 1 << 64).map(str),
    body=_BODY,
    kind=st.sampled_from(
        ["application/json", "multipart/form-data; boundary=x", "multipart/form-data", "text/plain"]
    ),
)
def test_whatever_is_asked_is_answered_as_described(
    server: Server,
    operation: tuple[str, str],
    number: int,
    real: bool,
    query: dict[str, str],
    offset: str | None,
    body: bytes,
    kind: str,
) -> None:
    """Each answer has a status that the description lists, and the form that it gives; none is the server's mistake."""
    path, method = operation
    described = DESCRIPTION["paths"][path][method]["responses"]
    upload = server.client.post("/api/uploads", json={}).json()["id"] if real else "0123456789abcdef"
    headers = {"Content-Type": kind, **({"Upload-Offset": offset} if offset else {})}
    answer = server.client.request(
        method.upper(),
        path.format(id=upload, number=number, name="nobody"),
        params=query,
        content=body,
        headers=headers,
    )
    if real:
        server.client.delete(f"/api/uploads/{upload}")
    assert str(answer.status_code) in described, answer.text
    asked = (
        DESCRIPTION["paths"][path][method].get("requestBody", {}).get("content", {}).get("application/json")
    )
    if asked and kind == "application/json" and not _fits(body, asked["schema"]):
        assert 400 <= answer.status_code
    response = described[str(answer.status_code)]
    if "$ref" in response:
        response = DESCRIPTION["components"]["responses"][response["$ref"].rpartition("/")[2]]
    if content := response.get("content", {}).get("application/json"):
        jsonschema.validate(answer.json(), {**content["schema"], "components": DESCRIPTION["components"]})
