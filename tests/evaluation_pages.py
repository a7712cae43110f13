"""A page as tests look at it: its elements with their attributes, and its texts."""

from html.parser import HTMLParser

LOADING = frozenset({"script", "link", "iframe", "object", "embed", "base", "form"})


class Elements(HTMLParser):
    """Every element of a page, and every piece of text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data.strip())

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]

    @property
    def loads(self) -> set[str]:
        """What would load something from elsewhere; a page of ours has none."""
        return LOADING & {tag for tag, _ in self.found}
