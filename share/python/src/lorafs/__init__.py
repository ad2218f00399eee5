"""Client of lorafs: train and ask LoRA adapters of one shared base.

    import lorafs

    client = lorafs.Client("http://localhost:8080")
    client.train("viggo", [{"prompt": "Say red.", "completion": " red"}, ...])
    print(client.wait("viggo"))
    print(client.generate("viggo", "Say red."))
"""

from .client import Client
from .errors import (
    BaseDiffers,
    Busy,
    Denied,
    Exists,
    Failed,
    Invalid,
    LorafsError,
    NotFound,
    Overloaded,
    TimedOut,
    TooBig,
    Unreachable,
    Unsupported,
)

__all__ = [
    "BaseDiffers",
    "Busy",
    "Client",
    "Denied",
    "Exists",
    "Failed",
    "Invalid",
    "LorafsError",
    "NotFound",
    "Overloaded",
    "TimedOut",
    "TooBig",
    "Unreachable",
    "Unsupported",
]
