"""Reads a PDF as its readers do: the text of a page, the links, where they lead."""

import re

import pikepdf


def words(page: pikepdf.Page) -> str:
    """Return the text of a page by the maps from glyphs to letters that its fonts bring."""
    fonts = {name: letters_of(font) for name, font in page.obj.Resources.Font.items()}
    text, letters, width = "", {}, 2
    for operands, operator in pikepdf.parse_content_stream(page):
        if str(operator) == "Tf":
            letters, width = fonts[str(operands[0])]
        for each in operands if str(operator) == "Tj" else ():
            code = bytes(each)
            for i in range(0, len(code), width):
                text += letters.get(int.from_bytes(code[i : i + width]), "?")
    return text


def letters_of(font: pikepdf.Object) -> tuple[dict[int, str], int]:
    """Read a font's map, from codes or ranges of codes to letters, and the bytes of a code."""
    found = {}
    text = font.ToUnicode.read_bytes().decode()
    for lines in re.findall(r"beginbf\w+(.*?)endbf", text, re.S):
        for line in lines.strip().splitlines():
            code = [int(each, 16) for each in re.findall(r"<(\w+)>", line)]
            for i in range(code[-2] - code[0] + 1):
                found[code[0] + i] = chr(code[-1] + i)
    return found, 1 if font.Subtype == "/Type3" else 2


def links(book: pikepdf.Pdf) -> list[tuple[int, pikepdf.Object]]:
    return [
        (number, link)
        for number, page in enumerate(book.pages)
        for link in page.obj.get("/Annots", [])
    ]


def sheet_of(book: pikepdf.Pdf, place: pikepdf.Object) -> int:
    return [page.obj.objgen for page in book.pages].index(place[0].objgen)
