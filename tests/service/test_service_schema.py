"""Requests drawn from the OpenAPI document: what it allows is answered, what it forbids is refused."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from service_fakes import CAMERAS, Running, crops, photo, run

ID = "[0-9a-fA-F]{8}"
"""Begins the pattern of an id in the document."""

WORDS = st.one_of(
    st.sampled_from(
        [*CAMERAS, "2026-05-04T09:00", "2026-05-04T09:00:00.5-11:30", "1970-01-01", "p1", "not:p1"]
    ),
    st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=20),
)
PICTURES = [photo(1), photo(2, 7)]
SETTINGS = settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return a service with a detector, to change by the thousand, and its document."""

    def detect(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        height, width = picture.shape[:2]
        boxes = [(0, 0, width, height), (width - 0.2, height - 0.2, width, height), (1, 1, 9, 30)]
        return np.array(boxes, float), np.array([0.9, 0.5, 0.4])

    one = run(tmp_path_factory.mktemp("schema"), people=crops(labelled=True), detect=detect)
    yield one, one.client.get("/api/openapi.json").json()
    one.gallery.close()
    one.service.audit.close()


OPERATIONS = [
    ("get", "/api/cameras"),
    ("get", "/api/items"),
    ("post", "/api/items"),
    ("patch", "/api/items"),
    ("get", "/api/items/{identity}"),
    ("get", "/api/items/{identity}/picture"),
    ("get", "/api/items/{identity}/thumbnail"),
    ("get", "/api/items/{identity}/attention"),
    ("post", "/api/search"),
    ("post", "/api/forget"),
    ("post", "/api/marks"),
    ("get", "/api/persons"),
    ("post", "/api/rename"),
    ("get", "/health"),
    ("get", "/metrics"),
    ("get", "/api/gallery"),
    ("get", "/api/labels.zip"),
]


class Drawn:
    """Draws values of the document's schemas.

    Args:
        draw: of hypothesis. document: OpenAPI. ids: of stored crops.
    """

    def __init__(self, draw: Any, document: dict[str, Any], ids: list[str]) -> None:
        self.draw, self.document, self.ids = draw, document, ids

    def resolved(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Return a schema, or what it refers to."""
        found = schema.get("$ref")
        return schema if found is None else self.document["components"]["schemas"][found.rpartition("/")[2]]

    def value(self, schema: dict[str, Any]) -> Any:
        """Return a value that the schema allows; a picture is the string that stands for one."""
        schema = self.resolved(schema)
        if "anyOf" in schema:
            return self.value(self.draw(st.sampled_from(schema["anyOf"])))
        if "enum" in schema:
            return self.draw(st.sampled_from(schema["enum"]))
        match schema["type"]:
            case "null":
                return None
            case "boolean":
                return self.draw(st.booleans())
            case "integer":
                least, most = schema.get("minimum", 0), schema.get("maximum", 10**6)
                return self.draw(st.sampled_from([least, most]) | st.integers(least, most))
            case "number":
                return self.draw(st.floats(1e-300, 0.999999))
            case "array":
                least, most = schema.get("minItems", 0), min(schema.get("maxItems", 3), 3)
                return [self.value(schema["items"]) for _ in range(self.draw(st.integers(least, most)))]
            case _ if "contentMediaType" in schema:
                return "picture"
            case _ if ID in schema.get("pattern", ""):
                return self.draw(st.sampled_from(self.ids) | st.uuids().map(str))
            case _:
                return self.draw(WORDS)

    def broken(self, schema: dict[str, Any]) -> Any:
        """Return a value that the schema forbids, or None where there is none to be told from others."""
        schema = self.resolved(schema)
        options = [schema, *schema.get("anyOf", [])]
        kinds = {one.get("type") for one in options}
        if "integer" in kinds or "number" in kinds:
            top = max(one.get("maximum", one.get("exclusiveMaximum", 0)) for one in options)
            return self.draw(st.sampled_from(["x", "nan", str(top + 1), "-1", "1e400", "0x10"]))
        if "boolean" in kinds:
            return "perhaps"
        if any("enum" in one for one in options):
            return "neither"
        if "array" in kinds:
            items = next(one["items"] for one in options if one.get("type") == "array")
            bad = None if "contentMediaType" in items else self.broken(items)
            return None if bad is None else [bad]
        if any(ID in one.get("pattern", "") for one in options):
            return self.draw(st.sampled_from(["x", self.ids[0] + "0", "../" + self.ids[0], self.ids[0][:-1]]))
        return self.draw(st.sampled_from(["a\x00b", "x" * 10_001, "a\nb"]))


def send(one: Running, method: str, path: str, kind: str, fields: dict[str, Any]) -> Any:
    """Send fields as the operation takes them: in the path and the query, as a form, or as JSON."""
    if kind == "json":
        return one.client.request(method, path, json=fields)
    said = {
        name: [
            "" if entry is None else str(entry) for entry in (value if isinstance(value, list) else [value])
        ]
        for name, value in fields.items()
        if name != "pictures"
    }
    if kind == "query":
        return one.client.request(method, path, params=said)
    pictures = fields.get("pictures", [])
    files = [("pictures", ("x.png", PICTURES[n % 2])) for n in range(len(pictures))]
    return one.client.request(method, path, data=said, files=files or None)


def parts(drawn: Drawn, method: str, path: str) -> tuple[str, dict[str, Any], list[str]]:
    """Return how an operation takes its fields, their schemas, and which must be there."""
    operation = drawn.document["paths"][path][method]
    if body := operation.get("requestBody"):
        ((media, content),) = body["content"].items()
        schema = drawn.resolved(content["schema"])
        return media.rpartition("/")[2], schema["properties"], schema.get("required", [])
    query = [one for one in operation.get("parameters", []) if one["in"] == "query"]
    return "query", {one["name"]: one["schema"] for one in query}, []


def draw_request(data: st.DataObject, one: Running, document: dict[str, Any], method: str, path: str) -> Any:
    """Return a drawn path, how fields are sent, fields that fit, and what draws."""
    stored = [crop.id for crop in one.gallery.page(top=5)[0]]
    drawn = Drawn(data.draw, document, [*stored, "00000000-0000-0000-0000-000000000000"])
    kind, schemas, required = parts(drawn, method, path)
    names = data.draw(st.sets(st.sampled_from(sorted(schemas)), max_size=4)) if schemas else set()
    fields = {name: drawn.value(schemas[name]) for name in sorted({*names, *required})}
    return path.replace("{identity}", data.draw(st.sampled_from(drawn.ids))), kind, fields, drawn, schemas


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
@SETTINGS
@given(data=st.data())
def test_what_the_document_allows_is_answered(
    served: Any, method: str, path: str, data: st.DataObject
) -> None:
    one, document = served
    where, kind, fields, _, _ = draw_request(data, one, document, method, path)
    answer = send(one, method, where, kind, fields)
    assert answer.status_code in (200, 201, 404, 409, 422), (fields, answer.text)
    if answer.status_code >= 400:
        assert len(answer.json()["error"]) > 10
        assert set(answer.json()) == {"error"}
    elif "json" in answer.headers["content-type"]:
        json.dumps(answer.json(), allow_nan=False)  # nothing that other languages' parsers do not read


@pytest.mark.parametrize(
    ("method", "path"), [one for one in OPERATIONS if one[1] in ("/api/cameras", "/api/items", "/api/search",
                                                                 "/api/forget", "/api/marks")]
)  # fmt: skip
@SETTINGS
@given(data=st.data())
def test_what_the_document_forbids_is_refused(
    served: Any, method: str, path: str, data: st.DataObject
) -> None:
    one, document = served
    where, kind, fields, drawn, schemas = draw_request(data, one, document, method, path)
    name = data.draw(st.sampled_from([*sorted(schemas), "unheard_of"]))
    value = "x" if name == "unheard_of" else drawn.broken(schemas[name])
    if value is None:
        return
    before = len(one.gallery)
    answer = send(one, method, where, kind, {**fields, name: value})
    assert answer.status_code == 422, (fields, name, value, answer.text)
    assert answer.json()["error"]
    assert len(one.gallery) == before


def test_every_operation_of_the_document_is_tried(served: Any) -> None:
    _, document = served
    there = {(method, path) for path, methods in document["paths"].items() for method in methods}
    assert there == set(OPERATIONS)
