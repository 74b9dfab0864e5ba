"""Tables for spreadsheets: read in the formats that they save, and written so that opening them changes nothing."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence

from livegift.contract.errors import RequestError
from livegift.domain.texts import marked, unmarked

_BOMS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_DELIMITERS = ",;\t"


def read_rows(data: bytes, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield (line, cells by column) of a table with a header.

    Accepts what spreadsheets save: UTF-8 with or without a byte order mark, UTF-16, commas, semicolons or tabs, columns
    in any order and additional ones, empty lines. Cells come without surrounding spaces and without the mark that
    `write_rows` sets. Raises RequestError('invalid') naming the line.
    """
    lines = list(io.StringIO(_decoded(data), newline=""))  # not splitlines: cells may hold other line separators
    skipped = 1 if lines and lines[0].strip().lower().startswith("sep=") else 0
    head = lines[skipped] if len(lines) > skipped else ""
    delimiter = max(_DELIMITERS, key=head.count)
    reader = csv.reader(lines[skipped:], delimiter=delimiter, strict=True)
    try:
        names = [cell.strip().lower() for cell in next(reader, [])]
        if any(names.count(column) != 1 for column in columns):
            raise RequestError(
                "invalid", f"line {skipped + 1}: expected the columns {','.join(columns)}, got {','.join(names)[:200]}"
            )
        places = [(column, names.index(column)) for column in columns]
        for row in reader:
            cells = [unmarked(cell.strip()) for cell in row]
            if not any(cells):
                continue
            line = reader.line_num + skipped
            if len(cells) < len(columns):
                raise RequestError("invalid", f"line {line}: expected {len(columns)} columns, got {len(cells)}")
            yield line, {column: cells[place] if place < len(cells) else "" for column, place in places}
    except csv.Error as error:
        raise RequestError("invalid", f"line {reader.line_num + skipped}: not CSV: {error}") from None


def _decoded(data: bytes) -> str:
    encoding = next((name for bom, name in _BOMS if data.startswith(bom)), "utf-8")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        raise RequestError("invalid", "expected a file in UTF-8: save it as `CSV UTF-8`") from None


def write_rows(columns: Sequence[str], rows: Iterable[Mapping[str, object]], *, with_head: bool = True) -> bytes:
    """Return `rows` as CSV (RFC 4180) that a spreadsheet opens without changing it.

    A byte order mark says that it is UTF-8. Texts that would be read as numbers, dates or formulas begin with an
    apostrophe; numbers and dates are written as they are.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    if with_head:
        text.write("\ufeff")
        writer.writerow(columns)
    for row in rows:
        cells = (row[column] for column in columns)
        writer.writerow([marked(cell) if isinstance(cell, str) else cell for cell in cells])
    return text.getvalue().encode()
