"""The version stands in CMakeLists.txt; what other tools read of theirs must say the same."""
import re

from tidy.source import text_of, tracked, trouble

SOURCE = "CMakeLists.txt", r"^project\(lorafs VERSION ([0-9.]+) "
COPIES = [
    ("debian/changelog", r"\A\w+ \(([^)]*)\)"),
    ("daemon/api/openapi.json", r'^  "title": "lorafs", "version": "([^"]*)"'),
    ("share/python/pyproject.toml", r'^version = "(.*)"$'),
    ("share/helm/lorafs/Chart.yaml", r"^version: (.*)$"),
    ("share/helm/lorafs/Chart.yaml", r'^appVersion: "(.*)"$'),
]


def stated(name, pattern):
    found = re.search(pattern, text_of(name), re.M) if name in tracked() else None
    if not found:
        trouble(name, 1, "it states no version")
    return found and found.group(1)


def check_tree():
    version = stated(*SOURCE)
    for name, pattern in COPIES:
        if stated(name, pattern) not in (None, version):
            trouble(name, 1, f"its version is not {version}, which {SOURCE[0]} states")
