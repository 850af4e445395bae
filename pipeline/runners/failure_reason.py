"""Finds the reason of a failed job in its log, without Beam's wrapping.

Beam raises an exception of a step again as `RuntimeError: NAME: MESSAGE [while running
'STEP']`, in the worker and in the job process, each time with both tracebacks.
"""

import re

_RAISED = re.compile(
    r"^RuntimeError: (?:\w+\.)*(?P<name>\w+)"
    r"(?:: (?P<message>(?:(?!\nTraceback ).)*?))?"
    r" \[while running '(?P<step>[^']*)'\]$",
    re.MULTILINE | re.DOTALL,
)
# Exceptions whose messages say what was found and what to do without the name.
_COMPLETE = {"StorageError", "PermitError", "ModelError", "DeviceError"}


def plain_reason(log: str) -> str:
    """The last exception in a log that a step raised, or else the last line.

    Args:
        log: Everything that the job process and its workers printed.
    """
    raised = list(_RAISED.finditer(log))
    if not raised:
        return next((x.strip() for x in reversed(log.splitlines()) if x.strip()), "")
    name, message, step = raised[-1]["name"], raised[-1]["message"], raised[-1]["step"]
    if name in _COMPLETE and message:
        return str(message)
    return f"{name}: {message} (in step {step})" if message else f"{name} (in {step})"
