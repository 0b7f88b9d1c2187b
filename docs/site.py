"""Builds the documentation as a web site with mkdocs: `python docs/site.py FOLDER`. A warning is an error.

The pages are those that a reader of the repository sees, in the same places, so that links are the same in both; mkdocs
follows every link between them, to the heading. Links to places outside are not followed.
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from pathlib import Path

from mkdocs.commands.build import build
from mkdocs.config import load_config

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)#\s:]+)(#[^)\s]*)?\)")


def pages() -> list[Path]:
    """The pages of the site, as in the repository."""
    return sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "fixtures/README.md"])


def slug(heading: str, _: str) -> str:
    """A heading's anchor, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def stage(folder: Path) -> None:
    """Copy the pages and the files that they lead to; a link to a folder becomes text, since a site lists no folder."""
    for page in pages():

        def told(link: re.Match[str], page: Path = page) -> str:
            target = (page.parent / link[2]).resolve()
            if target.is_dir():
                return link[1]
            _copy(target, folder)
            return link[0]

        text = LINK.sub(told, page.read_text(encoding="utf-8"))
        _copy(page, folder).write_text(text, encoding="utf-8")
    shutil.copytree(ROOT / "docs/images", folder / "docs/images", dirs_exist_ok=True)


def _copy(file: Path, folder: Path) -> Path:
    place = folder / file.relative_to(ROOT)
    place.parent.mkdir(parents=True, exist_ok=True)
    if not place.exists():
        shutil.copyfile(file, place)
    return place


def nav() -> list[dict[str, str | list[dict[str, str]]]]:
    """The pages under the headings of README.md's list of them."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    listed = readme.partition("\n## Documentation\n")[2].partition("\n## ")[0]
    parts = (part.partition("\n") for part in listed.split("\n### ")[1:])
    return [
        {"Overview": "README.md"},
        *(
            {name: [{title[0].upper() + title[1:]: path} for title, path, _ in LINK.findall(lines)]}
            for name, _, lines in parts
        ),
    ]


def make(out: Path) -> None:
    """Build the site.

    Raises:
        mkdocs.exceptions.Abort: There was a warning.
    """
    with tempfile.TemporaryDirectory() as staged:
        source = Path(staged) / "source"
        stage(source)
        (Path(staged) / "mkdocs.yml").write_text("site_name: Lostsyn\n")
        config = load_config(
            str(Path(staged) / "mkdocs.yml"),
            docs_dir=str(source),
            site_dir=str(out.resolve()),
            strict=True,
            use_directory_urls=False,
            nav=nav(),
            theme={"name": "mkdocs", "highlightjs": False, "color_mode": "auto"},
            markdown_extensions=[
                "tables",
                "fenced_code",
                "sane_lists",
                {"toc": {"slugify": slug, "permalink": True}},
            ],
            validation={"anchors": "warn", "unrecognized_links": "warn", "absolute_links": "warn"},
        )
        build(config)


if __name__ == "__main__":
    make(Path(sys.argv[1]))
