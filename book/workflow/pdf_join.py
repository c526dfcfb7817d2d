"""The printed sheets become one book: links, bookmarks, page labels, tags, and a description."""

import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import unquote

import pikepdf
from pikepdf import Array, Dictionary, Name, OutlineItem, String

from book.workflow.pdf_edition import Edition
from book.workflow.pdf_page import HOST, TOP
from book.workflow.pdf_print import Printed
from medlib import paths
from medlib.errors import MedlibError

Place = tuple[int, float]  # page of the book, from 0, and height on it in points


def join(
    front: Printed, parts: Mapping[str, Sequence[Printed]], edition: Edition, target: Path
) -> None:
    """Write the book.

    Parameters
    ----------
    front : Printed
        Title page and table of contents, with roman numbers.
    parts : mapping of str to sequence of Printed
        Chapters by the caption of their part.
    edition : Edition
        What the description says.
    target : Path
        The file; an old one is replaced when the new one is whole.

    Raises
    ------
    MedlibError
        For a link to something that was not printed; the message names its page.
    """
    printed = [front, *(each for part in parts.values() for each in part)]
    with pikepdf.new() as book:
        tags = Tags()
        for each in printed:
            with pikepdf.open(io.BytesIO(each.data)) as pdf:
                _name_targets(pdf, each.document)
                tags.shift(pdf)
                book.pages.extend(pdf.pages)
                tags.take(book, pdf)
        tags.write(book)
        starts = _starts(printed)
        known = dict(_known(printed, starts))
        pages = [page.obj for page in book.pages]
        for each in printed:
            first = starts[each.document]
            for page in pages[first : first + each.pages]:
                connect(page, each.document, known, pages)
        _bookmarks(book, parts, known)
        _describe(book, front.pages, edition)
        with paths.whole_file(target) as draft:
            book.save(
                draft,
                object_stream_mode=pikepdf.ObjectStreamMode.generate,
                deterministic_id=True,
            )


class Tags:
    """The trees that say what is a heading, a table, a figure: one of each sheet becomes one."""

    def __init__(self) -> None:
        self.kids: list[pikepdf.Object] = []
        self.parents: list[pikepdf.Object] = []  # numbers and elements in turn
        self.next = 0

    def shift(self, pdf: pikepdf.Pdf) -> None:
        """Give the pages and the links of a sheet numbers that no other sheet has."""
        for page in pdf.pages:
            for each in (page.obj, *page.obj.get("/Annots", [])):
                for key in ("/StructParents", "/StructParent"):
                    if key in each:
                        each[key] = int(each[key]) + self.next

    def take(self, book: pikepdf.Pdf, pdf: pikepdf.Pdf) -> None:
        """Take over the tree of a sheet whose pages are in the book already."""
        root = pdf.Root.get("/StructTreeRoot")
        if root is None:
            return
        numbers = list(pikepdf.NumberTree(root.ParentTree).items())
        root.Parents = Array([each for _, each in numbers])
        del root["/ParentTree"]
        copied = book.copy_foreign(root)
        kids = copied.K
        self.kids += list(kids) if isinstance(kids, Array) else [kids]
        for (number, _), element in zip(numbers, copied.Parents, strict=True):
            self.parents += [number + self.next, element]
        self.next += max((number for number, _ in numbers), default=-1) + 1

    def write(self, book: pikepdf.Pdf) -> None:
        """Put the tree into the book."""
        if not self.kids:
            return
        root = book.make_indirect(Dictionary(Type=Name.StructTreeRoot, K=Array(self.kids)))
        root.ParentTree = book.make_indirect(Dictionary(Nums=Array(self.parents)))
        root.ParentTreeNextKey = self.next
        for kid in self.kids:
            kid.P = root
        book.Root.StructTreeRoot = root
        book.Root.MarkInfo = Dictionary(Marked=True)


def _name_targets(pdf: pikepdf.Pdf, document: str) -> None:
    """Let links within a sheet name its page, as those to other pages of the book do."""
    for page in pdf.pages:
        for link in page.obj.get("/Annots", []):
            if "/Dest" in link:
                address = f"{HOST}{document}#{str(link.Dest).removeprefix('/')}"
                link.A = Dictionary(S=Name.URI, URI=String(address))
                del link["/Dest"]


def connect(
    page: pikepdf.Object,
    document: str,
    known: Mapping[str, Place],
    pages: Sequence[pikepdf.Object],
) -> None:
    """Lead the links of a page that stay in the book to where their targets stand.

    Parameters
    ----------
    page : pikepdf object
        The page.
    document : str
        Name of its sheet.
    known : mapping of str to (int, float)
        Place of everything that was printed.
    pages : sequence of pikepdf object
        All pages of the book.

    Raises
    ------
    MedlibError
        For a link to something that was not printed.
    """
    for link in page.get("/Annots", []):
        target = _target(str(link.get("/A", {}).get("/URI", "")))
        if not target:
            continue
        if target not in known:
            raise MedlibError(f"{document}: a link leads to {target}, which was not printed")
        sheet, top = known[target]
        link.Dest = Array([pages[sheet], Name.XYZ, None, top, None])
        del link["/A"]


def _target(address: str) -> str:
    """Return what a link inside the book leads to, such as ``book/glossary#term-auc``."""
    if not address.startswith(HOST):
        return ""
    page, _, name = unquote(address.removeprefix(HOST)).partition("#")
    return f"{page}#{name or TOP}"


def _starts(printed: Sequence[Printed]) -> dict[str, int]:
    """Return the page of the book, from 0, on which each sheet begins."""
    found, pages = {}, 0
    for each in printed:
        found[each.document] = pages
        pages += each.pages
    return found


def _known(printed: Sequence[Printed], starts: Mapping[str, int]) -> Iterator[tuple[str, Place]]:
    for each in printed:
        for name, (page, top) in each.places.items():
            yield f"{each.document}#{unquote(name)}", (starts[each.document] + page, top)


def _bookmarks(
    book: pikepdf.Pdf, parts: Mapping[str, Sequence[Printed]], known: Mapping[str, Place]
) -> None:
    """Write the outline: parts, chapters, sections and their sections, closed but for the parts."""
    with book.open_outline() as outline:
        for caption, chapters in parts.items():
            items = [_chapter(each, known) for each in chapters]
            if caption:
                top = _item(caption, f"{chapters[0].document}#{TOP}", known)
                top.children.extend(items)
                items = [top]
            outline.root.extend(items)


def _chapter(printed: Printed, known: Mapping[str, Place]) -> OutlineItem:
    chapter = _item(printed.title, f"{printed.document}#{TOP}", known)
    open_items = [chapter]
    for each in printed.headings:
        item = _item(each.text, f"{printed.document}#{each.target}", known)
        del open_items[max(1, each.level - 1) :]
        open_items[-1].children.append(item)
        open_items.append(item)
    return chapter


def _item(title: str, target: str, known: Mapping[str, Place]) -> OutlineItem:
    page, top = known[target]
    item = OutlineItem(title, page, "XYZ", top=top)
    item.is_closed = True
    return item


def _describe(book: pikepdf.Pdf, front: int, edition: Edition) -> None:
    """Write title, authors, language, licence and page labels; the only date is the edition's."""
    root = book.Root
    root.Lang = String("en")
    root.PageMode = Name.UseOutlines
    root.ViewerPreferences = Dictionary(DisplayDocTitle=True)
    labels = [0, Dictionary(S=Name.r), front, Dictionary(S=Name.D, St=1)]
    root.PageLabels = Dictionary(Nums=Array(labels))
    with book.open_metadata(set_pikepdf_as_editor=False) as meta:
        meta["dc:title"] = edition.title
        meta["dc:creator"] = [edition.authors]
        meta["dc:language"] = {"en"}
        meta["dc:rights"] = edition.licence
        meta["dc:description"] = edition.summary
        if edition.day:
            meta["xmp:CreateDate"] = f"{edition.day}T00:00:00Z"
    book.docinfo["/Title"] = edition.title
    book.docinfo["/Author"] = edition.authors
    book.docinfo["/Subject"] = edition.summary
    if edition.day:
        book.docinfo["/CreationDate"] = f"D:{edition.day.replace('-', '')}000000Z"
