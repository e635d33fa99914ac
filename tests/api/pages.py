"""Pages as browsers ask for them and show them."""

from html.parser import HTMLParser

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


class Page(HTMLParser):
    """What a browser shows, and where it leads."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in {"script", "style"}
        assert not {name for name, _ in attrs if name.startswith("on") or name == "style"}
        self.links |= {value for name, value in attrs if name == "href" and value}

    def handle_data(self, data: str) -> None:
        self.text += data
