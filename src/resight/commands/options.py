"""Options shared by several commands."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

Flag = Annotated[bool, Parameter(negative="")]
"""A flag without a --no- form."""

Words = Annotated[list[str] | None, Parameter(negative="")]
"""An option that may be repeated."""

Json = Annotated[bool, Parameter(negative="", help="print one JSON object.")]
Device = Annotated[str, Parameter(help="auto, cpu or cuda.")]
RuntimeName = Annotated[
    Literal["auto", "torch", "onnxruntime", "openvino"],
    Parameter(help="runtime for the model; auto takes the fastest installed one, measured once."),
]
SkipUnreadable = Annotated[bool, Parameter(negative="", help="leave unreadable images out, and count them.")]
DetectorFile = Annotated[
    Path | None,
    Parameter(help="network that detects persons, in an ONNX file or OpenVINO IR."),
]
PersonClass = Annotated[
    str | None,
    Parameter(
        help="name or number of the class that is a person, in the detector or the file of boxes; by default "
        "by its name, else as in COCO or MOTChallenge."
    ),
]
GalleryPlace = Annotated[
    str,
    Parameter(
        env_var="RESIGHT_GALLERY",
        help="folder of the gallery, or the address of a Qdrant cluster, http://HOST:6333/NAME.",
    ),
]
Timezone = Annotated[
    str | None,
    Parameter(
        help="time zone of times without one, given, shown or in file names, such as Europe/Berlin; by "
        "default that of the variable RESIGHT_TIMEZONE, else this machine's.",
    ),
]
