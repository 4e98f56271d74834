"""Write the pages that are made from something else: docs/generated/, which git ignores.

The reference of the command line comes from the commands' own help, the routes of the HTTP API from the
service's OpenAPI description, the tutorial from docs/tutorial.ipynb; CONTRIBUTING.md and CHANGELOG.md are
copied. The reference of the Python API needs no page of its own here:
docs/reference/python.md names what belongs in it, and the site generator reads the docstrings.

python scripts/docs_pages.py
"""

import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from fastapi import FastAPI

from resight.commands.main import app
from resight.service.api import api_routes

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


def main(out: Path) -> None:
    out.mkdir(exist_ok=True)
    (out / "commands.md").write_text(commands())
    (out / "routes.md").write_text(routes())
    (out / "tutorial.md").write_text(tutorial(json.loads((DOCS / "tutorial.ipynb").read_text())))
    for page in ("CONTRIBUTING.md", "CHANGELOG.md"):
        text = (ROOT / page).read_text().replace("](docs/", "](../")
        (out / page.lower()).write_text(text)


def commands() -> str:
    """Return the help of every command as Markdown."""
    text: str = app.generate_docs()
    text = re.sub(r"## Table of Contents\n.*?(?=\*\*Commands\*\*)", "", text, flags=re.DOTALL)
    text = re.sub(r" \*\[default: (?:\(\)|False)\]\*", "", text)
    return text.replace("# resight\n", "# Command line\n", 1)


def routes() -> str:
    """Return the routes of the HTTP API, each with its fields, as Markdown."""
    api = FastAPI()
    api.include_router(api_routes(SimpleNamespace(gallery=None)))  # no request is ever answered
    described = api.openapi()
    lines = ["# HTTP routes", "[HTTP API](../reference/http.md) has examples, and the limits of requests."]
    for path, methods in described["paths"].items():
        for method, route in methods.items():
            lines += [f"## {method.upper()} {path}", route["description"]]
            fields = {one["name"]: one for one in route.get("parameters", ())}
            required = {name for name, one in fields.items() if one["required"]}
            for kind, content in route.get("requestBody", {}).get("content", {}).items():
                schema = described["components"]["schemas"][content["schema"]["$ref"].rsplit("/", 1)[1]]
                lines.append(f"The body is `{kind}`.")
                fields, required = schema["properties"], set(schema.get("required", ()))
            entries = []
            for name, one in fields.items():
                said = f": {one['description']}" if one.get("description") else ""
                entries.append(f"- `{name}`{' (required)' if name in required else ''}{said}")
            lines.append("\n".join(entries))
    return "\n\n".join(line for line in lines if line) + "\n"


def tutorial(notebook: dict[str, Any]) -> str:
    """Return the cells of a notebook, and what they printed and drew, as Markdown."""
    parts = []
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            if "image/png" in data:
                picture = "".join(data["image/png"].split())
                parts.append(f'<img src="data:image/png;base64,{picture}" alt="What the cell above draws">')
            elif output.get("name") != "stderr":
                parts.append(
                    "```text\n{}\n```".format("".join(output.get("text", data.get("text/plain"))).rstrip())
                )
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else DOCS / "generated")
