"""Messages of the runtimes, explained: why a file cannot be opened or run."""

import re
from pathlib import Path
from typing import Literal

GraphRuntime = Literal["onnxruntime", "openvino"]

NAMES: dict[GraphRuntime, str] = {"onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}
EXTRAS: dict[GraphRuntime, str] = {"onnxruntime": "onnx", "openvino": "openvino"}

ONNX_START = b"\x08"
"""First byte of an ONNX file: the tag of ``ir_version``, which protobuf writes first."""


def explain(path: Path, runtime: GraphRuntime, reason: str) -> str:
    """Return why a runtime cannot open a file, and what to do about it."""
    name, extra = NAMES[runtime], EXTRAS[runtime]
    if found := re.search(r"Unsupported model IR version: (\d+), max supported IR version: (\d+)", reason):
        return (
            f"{path} is written in version {found[1]} of the ONNX format; the installed {name} reads up to "
            f"version {found[2]}. Upgrade it (pip install -U 'resight[{extra}]'), or export the file again "
            "for an older version."
        )
    if found := re.search(r"Opset (\d+) is under development.* is till opset (\d+)", reason, re.DOTALL):
        return (
            f"{path} uses opset {found[1]} of ONNX; the installed {name} supports up to opset {found[2]}. "
            f"Upgrade it (pip install -U 'resight[{extra}]'), or export the file again with an older opset."
        )
    if found := re.search(
        r"External data path does not exist: \"(.*?)\"|data in file \((.*?), offset", reason
    ):
        missing = Path(found[1] or found[2]).name
        return (
            f"{path} has its weights in a second file, '{missing}', which is missing or cut off. "
            "Copy both files into one folder."
        )
    if path.suffix.lower() == ".xml":
        weights = path.with_suffix(".bin")
        if not weights.is_file():
            return (
                f"{path} needs its weights in {weights}, and there is no such file. Copy both files together."
            )
        if "weights in bin file" in reason:
            return (
                f"{weights} is too short for {path.name}: it was cut off, or is of another network. Copy "
                "both files again."
            )
        text = path.read_bytes()
        if b"<net" in text and b"</net>" not in text[-200:]:
            return f"{path} was cut off: its end is missing. Copy it again."
        if b"<net" not in text:
            return f"{path} is not OpenVINO IR. An .xml file with a <net> element is expected."
    else:
        with path.open("rb") as file:
            start = file.read(1)
        if start != ONNX_START:
            return f"{path} is not an ONNX file: its first byte is not that of one."
        if re.search(r"INVALID_PROTOBUF|can't be parsed", reason):
            return (
                f"{path} begins like an ONNX file but cannot be read to its end: it was cut off or changed. "
                "Copy it again."
            )
    return f"{path} cannot be run by {name}: {last_line(reason)}."


def last_line(reason: str) -> str:
    """Return the last line of a runtime's message that says what went wrong, without places in its source."""
    lines = [line.strip() for line in reason.splitlines() if line.strip()] or ["no reason given"]
    useful = [line for line in lines if not re.match(r"Exception from|Check '|FrontEnd API failed", line)]
    return (useful or lines)[-1].rpartition(" : ")[2].rstrip(".")
