"""What the daemon refuses, as exceptions with its reason."""

from __future__ import annotations


class LorafsError(Exception):
    """The reason is the text. `code` is the daemon's word for it ("not_found"), `status` HTTP's; 0
    where no answer came. `retry_after`: seconds after which the daemon would be asked again."""

    def __init__(self, reason: str, code: str = "", status: int = 0):
        super().__init__(reason)
        self.reason = reason
        self.code = code
        self.status = status
        self.retry_after = 0


class Invalid(LorafsError):
    """Rows, settings or a request that are wrong; of rows the reason names the line."""


class NotFound(LorafsError):
    """No such adapter, version or file."""


class Exists(LorafsError):
    """The name is taken."""


class Busy(LorafsError):
    """Something else is under way."""


class Failed(LorafsError):
    """A training failed, was cancelled, or made a version that is worse than what serves."""


class Denied(LorafsError):
    """The API key is missing, wrong, or may not."""


class Overloaded(LorafsError):
    """No place was left, also after it was tried again."""


class TooBig(LorafsError):
    """Over a limit of the daemon."""


class TimedOut(LorafsError):
    """It took longer than it might."""


class Unsupported(LorafsError):
    """Understood, but not done."""


class BaseDiffers(LorafsError):
    """An adapter of another base."""


class Unreachable(LorafsError):
    """There is no daemon, or the connection broke."""


_BY_CODE = {
    "invalid": Invalid,
    "no_prompt": Invalid,
    "not_found": NotFound,
    "exists": Exists,
    "not_empty": Busy,
    "busy": Busy,
    "failed": Failed,
    "cancelled": Failed,
    "denied": Denied,
    "read_only": Denied,
    "overloaded": Overloaded,
    "device_full": Overloaded,
    "too_big": TooBig,
    "timed_out": TimedOut,
    "unsupported": Unsupported,
    "base_differs": BaseDiffers,
}


def error_of(status: int, code: str, reason: str) -> LorafsError:
    return _BY_CODE.get(code, LorafsError)(reason, code, status)
