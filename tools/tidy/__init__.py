"""The checks of tools/tidy.py by theme: lines of a file, names over the tree, rooms."""
