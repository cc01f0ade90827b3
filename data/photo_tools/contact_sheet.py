"""A contact sheet: one self-contained HTML page.

A click marks a photo; "Save prune.csv" downloads the table with the marks in it.
"""

import html
import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from photo_tools.pruned import MOVE, REMOVE
from tutorial.cli import ProgressBar, escape
from tutorial.files import atomic_write
from tutorial.images import READERS, PhotoError, data_url, open_photo

from PIL import Image

THUMBNAIL = 180  # pixels, the longer side
MOVES = 3  # classes that a photo can be moved to by a click, the predicted one first; the table takes any


@dataclass(frozen=True)
class Section:
    """A heading, a sentence, and the photos below it, by their positions in the table."""

    title: str
    text: str
    rows: list[int] = field(default_factory=list)


def _thumbnail(path: Path) -> str:
    """A small JPEG as a data: URI, or "" for a file that cannot be read."""
    try:
        photo = open_photo(path)
    except PhotoError:
        return ""
    photo.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.BILINEAR)
    return data_url(photo, quality=75)


def _text(value: object) -> str:
    """Escaped for HTML, in attributes too, and ASCII: file names may contain what no encoding can write."""
    return html.escape(escape(value)).encode("ascii", "xmlcharrefreplace").decode()


def _card(number: int, row: dict[str, str], thumbnail: str, classes: list[str]) -> str:
    picture = f'<img alt="" src="{thumbnail}">' if thumbnail else '<span class="none">cannot be shown</span>'
    lines = "".join(f"<small>{_text(line)}</small>" for line in row["reasons"].split("; ") if line)
    if row["duplicate of"]:
        lines += f"<small>copy of {_text(row['duplicate of'])}</small>"
    if row["suggestion"]:
        lines += f"<small><i>suggested: {_text(row['suggestion'])}</i></small>"
    others = sorted((name for name in classes if name != row["class"]), key=lambda name: name != row["predicted"])
    moves = [f"{MOVE}{name}" for name in others[:MOVES]]
    buttons = "".join(f'<button data-mark="{_text(mark)}">{_text(mark)}</button>' for mark in [REMOVE, *moves])
    return (
        f'<figure data-row="{number}" title="{_text(row["file"])}"><span class="pic">{picture}</span>'
        f"<b>{_text(row['file'].removeprefix('collected/'))}</b><small>row {number + 2}</small>{lines}"
        f"<span>{buttons}</span></figure>"
    )


def write_contact_sheet(
    path: Path, data: Path, title: str, rows: list[dict[str, str]], columns: list[str], sections: list[Section]
) -> None:
    """Write the page.

    Args:
        path: of the page.
        data: the folder that the rows' ``file`` is relative to.
        title: the page's heading.
        rows: the whole table, with at least file, class, reasons, predicted, duplicate of, suggestion and mark.
        columns: those of the table that "Save prune.csv" downloads.
        sections: what is shown, in order.

    Raises:
        TutorialError: the page cannot be written.
    """
    shown = sorted({number for section in sections for number in section.rows})
    progress = ProgressBar("drawing the contact sheet", len(shown))
    thumbnails = {}
    with ThreadPoolExecutor(READERS) as pool:
        for number, thumbnail in zip(shown, pool.map(lambda n: _thumbnail(data / rows[n]["file"]), shown), strict=True):
            thumbnails[number] = thumbnail
            progress.update(len(thumbnails))
    progress.close()
    body, classes = [], sorted({row["class"] for row in rows})
    for section in sections:
        if section.rows:
            body.append(f"<h2>{_text(section.title)} ({len(section.rows)})</h2><p>{_text(section.text)}</p><div>")
            body += [_card(number, rows[number], thumbnails[number], classes) for number in section.rows]
            body.append("</div>")
    table = json.dumps([columns, *([row[name] for name in columns] for row in rows)]).replace("<", "\\u003c")
    parts = {"TITLE": _text(title), "BODY": "\n".join(body) or "<p>Nothing was found.</p>", "TABLE": table}
    with atomic_write(path) as temporary:  # in one pass: a folder may be called BODY
        temporary.write_text(re.sub("TITLE|BODY|TABLE", lambda found: parts[found[0]], PAGE), encoding="ascii")


PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>TITLE</title>
<style>
:root { color-scheme: light dark; --line: #8886; --mark: #c62828 }
body { font: 16px/1.4 system-ui, sans-serif; margin: 0 auto; max-width: 1400px; padding: 0 1rem 3rem }
header { position: sticky; top: 0; background: Canvas; padding: .5rem 0; border-bottom: 1px solid var(--line) }
h1 { font-size: 1.25rem; margin: 0 0 .4rem }
h2 { font-size: 1.1rem; margin: 1.6rem 0 .2rem }
p { margin: .2rem 0 .6rem; max-width: 60rem }
div { display: grid; grid-template-columns: repeat(auto-fill, minmax(196px, 1fr)); gap: .6rem }
figure { margin: 0; border: 2px solid var(--line); border-radius: 6px; padding: 6px; display: flex;
 flex-direction: column; overflow-wrap: anywhere }
figure.marked { border-color: var(--mark); outline: 2px solid var(--mark) }
figure.marked .pic { opacity: .35 }
figure > span:last-child { display: flex; flex-wrap: wrap; gap: 4px; margin-top: auto; padding-top: 6px }
button { font: inherit; padding: .2rem .5rem; overflow-wrap: anywhere }
figure button { font-size: .85rem; flex: 1; cursor: pointer }
button[aria-pressed=true] { background: var(--mark); color: #fff }
button:focus-visible { outline: 3px solid Highlight }
.pic { height: 180px; display: flex; align-items: center; justify-content: center; align-self: stretch }
.pic img { max-width: 100%; max-height: 180px }
.none, small { opacity: .8 }
small { font-size: .82rem }
b { font-size: .9rem }
</style>
<header><h1>TITLE</h1>
<button id="suggest">Mark what is suggested</button> <button id="save">Save prune.csv</button>
<span id="count"></span></header>
BODY
<script type="application/json" id="table">TABLE</script>
<script>
const [names, ...rows] = JSON.parse(document.getElementById("table").textContent);
const [mark, suggestion] = [names.indexOf("mark"), names.indexOf("suggestion")];
const buttons = [...document.querySelectorAll("[data-mark]")];
const rowOf = button => rows[button.closest("figure").dataset.row];
let unsaved = false;
function show() {
  for (const button of buttons) {
    button.setAttribute("aria-pressed", rowOf(button)[mark] === button.dataset.mark);
    button.closest("figure").classList.toggle("marked", rowOf(button)[mark] !== "");
  }
  document.getElementById("count").textContent = rows.filter(row => row[mark]).length + " marked";
}
for (const button of buttons) button.onclick = () => {
  rowOf(button)[mark] = rowOf(button)[mark] === button.dataset.mark ? "" : button.dataset.mark;
  unsaved = true;
  show();
};
document.getElementById("suggest").onclick = () => {
  for (const row of rows) if (row[suggestion]) row[mark] = row[suggestion];
  unsaved = true;
  show();
};
window.onbeforeunload = event => { if (unsaved) event.preventDefault(); };
document.getElementById("save").onclick = () => {
  const quoted = value => '"' + String(value).replaceAll('"', '""') + '"';
  const text = "\\ufeff" + [names, ...rows].map(row => row.map(quoted).join(",") + "\\r\\n").join("");
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  link.download = "prune.csv";
  link.click();
  unsaved = false;
};
show();
</script>
</html>
"""
