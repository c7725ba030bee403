"""What a page is made of, as a browser reads it."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "link", "input", "img", "br", "path", "circle", "rect"}


@dataclass
class Element:
    tag: str
    attributes: dict[str, str]
    parents: tuple["Element", ...]
    text: str = ""

    def inside(self, tag: str) -> "Element | None":
        return next((each for each in reversed(self.parents) if each.tag == tag), None)


@dataclass
class Document(HTMLParser):
    """Raises AssertionError where an end tag is not that of the innermost open element."""

    source: str
    elements: list[Element] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self._open: list[Element] = []
        self.feed(self.source)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs) -> None:
        names = [name for name, _ in attrs]
        assert len(set(names)) == len(names), f"{tag}: {names}"
        attributes = {name: value or "" for name, value in attrs}
        element = Element(tag, attributes, tuple(self._open))
        self.elements.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_startendtag(self, tag, attrs) -> None:
        self.elements.append(Element(tag, dict(attrs), tuple(self._open)))

    def handle_endtag(self, tag) -> None:
        assert self._open.pop().tag == tag

    def handle_data(self, data) -> None:
        for element in self._open:
            element.text += data

    def all(self, tag: str) -> list[Element]:
        return [each for each in self.elements if each.tag == tag]

    def one(self, tag: str) -> Element:
        (found,) = self.all(tag)
        return found
