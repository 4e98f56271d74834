"""The API's reference page, from its OpenAPI description."""

from typing import Any


def routes_of(api: dict[str, Any]) -> list[dict[str, Any]]:
    """Return method, path, description, kind of body, and fields of each route.

    Args:
        api: as ``FastAPI.openapi`` returns it.
    """
    routes = []
    for path, methods in api["paths"].items():
        for method, entry in methods.items():
            body = entry.get("requestBody", {}).get("content", {})
            kind = next(iter(body), "parameter")
            named = body.get(kind, {}).get("schema", {}).get("$ref", "").rpartition("/")[2]
            properties = api["components"]["schemas"].get(named, {}).get("properties", {})
            fields = [
                (one["name"], _type(one["schema"]), one.get("description", ""))
                for one in entry.get("parameters", [])
            ]
            fields += [(name, _type(one), one.get("description", "")) for name, one in properties.items()]
            description = entry.get("description", entry.get("summary", ""))
            routes.append(
                {
                    "method": method.upper(),
                    "path": path,
                    "description": description,
                    "kind": kind,
                    "fields": fields,
                }
            )
    return routes


def _type(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return " or ".join(schema["enum"])
    if schema.get("type") == "array":
        return f"{_type(schema['items'])}, repeated"
    if "anyOf" in schema:
        return _type(next(one for one in schema["anyOf"] if one.get("type") != "null"))
    if "contentMediaType" in schema or schema.get("format") == "binary":
        return "file"
    return str(schema.get("type", ""))
