"""Write the reference pages of the documentation, in a checkout: `make generate`, or `python -m livegift.reference`."""

import sys

from livegift.reference.pages import PAGES, ROOT


def main() -> None:
    """Write each page that is out of date, and name it."""
    for name, written in PAGES.items():
        path, text = ROOT / name, written()
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
            sys.stdout.write(f"{path} written\n")


main()
