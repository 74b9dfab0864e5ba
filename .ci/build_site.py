"""Builds the documentation's site into .site, and fails for a broken link or a page that loads from another host."""

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

ROOT = Path(__file__).parent.parent
SITE = ROOT / ".site"
# An attribute that makes a browser load what it names. Links (`a`) are followed by readers only.
LOADING = {
    "audio": ("src",),
    "embed": ("src",),
    "iframe": ("src",),
    "img": ("src", "srcset"),
    "input": ("src",),
    "link": ("href",),
    "object": ("data",),
    "script": ("src",),
    "source": ("src", "srcset"),
    "track": ("src",),
    "video": ("src", "poster"),
}
STYLE_URL = re.compile(r"""(?:url\(|@import)\s*['"]?((?:https?:)?//[^'")\s]+)""")


class Loads(HTMLParser):
    """Collects what a page loads from other hosts."""

    def __init__(self) -> None:
        """Nothing is read yet."""
        super().__init__()
        self.foreign: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Look at one element."""
        for name, value in attrs:
            if name in LOADING.get(tag, ()) and value and re.match(r"(https?:)?//", value):
                self.foreign.append(f"<{tag} {name}={value}>")
            if name == "style" and value:
                self.foreign += STYLE_URL.findall(value)


def foreign_loads(path: Path) -> list[str]:
    """Return what one file of the site loads from other hosts."""
    text = path.read_text()
    if path.suffix == ".css":
        return STYLE_URL.findall(text)
    page = Loads()
    page.feed(text)
    return page.foreign


def main() -> None:
    """Exit with a sentence when the site is not as it should be."""
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
    done = subprocess.run(command, cwd=ROOT, check=False)
    if done.returncode:
        sys.exit("the site was not built: see above")
    files = [path for path in SITE.rglob("*") if path.suffix in {".html", ".css"}]
    bad = [f"{path.relative_to(SITE)}: {load}" for path in files for load in foreign_loads(path)]
    if bad:
        sys.exit("expected pages that load nothing from other hosts, got\n" + "\n".join(bad))
    print(f"{len(files)} pages and style sheets in {SITE.relative_to(ROOT)}: open {SITE.name}/index.html")


main()
