"""Small data sets on disk, in the forms in which they are published."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

HEADER = "lesion_id,image_id,dx,dx_type,age,sex,localization"
CODES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")


def ham_rows(n: int) -> list[str]:
    """Rows of a table in which each lesion has two images."""
    return [
        f"HAM_{i // 2},ISIC_{i},{CODES[i // 2 % 7]},histo,{40 + i % 30}.0,male,back"
        for i in range(n)
    ]


def touch(folder: Path, names: Iterable[str]) -> None:
    """Make files that hold their own name: readers of tables must not look into images."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_text(str(name))


def write_ham(
    root: Path,
    rows: Iterable[str] | None = None,
    *,
    n: int = 28,
    folder: str = "images",
    table: str = "HAM10000_metadata.csv",
) -> Path:
    """Write `n` images and a table of `rows`, by default one for each image."""
    touch(root / folder, (f"ISIC_{i}.jpg" for i in range(n)))
    lines = [HEADER, *(ham_rows(n) if rows is None else rows)]
    text = "\n".join(lines) + "\n"
    (root / table).write_text(text.replace(",", "\t") if table.endswith(".tab") else text)
    return root


def digest(folder: Path) -> str:
    """Digest the names and bytes of everything below a folder."""
    whole = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        whole.update(str(path.relative_to(folder)).encode())
        whole.update(path.read_bytes() if path.is_file() else b"")
    return whole.hexdigest()
