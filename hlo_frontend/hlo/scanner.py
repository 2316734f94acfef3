"""A cursor over HLO text: takes what a pattern describes, or says on which line it is not there."""

from __future__ import annotations

import re
from typing import NoReturn

from hlo_frontend.hlo.errors import HloError

_SPACE = re.compile(r"(?:\s+|/\*.*?\*/|//[^\n]*)*", re.DOTALL)
_STRING = re.compile(r'"((?:[^"\\\n]|\\.)*)"')
_ESCAPE = re.compile(rb"\\([0-7]{1,3}|x[0-9a-fA-F]{1,2}|.)")
_CONTROL = {
    b"n": b"\n",
    b"r": b"\r",
    b"t": b"\t",
    b"a": b"\a",
    b"b": b"\b",
    b"f": b"\f",
    b"v": b"\v",
}
_BRACE = re.compile(r'[{}"]')
INTEGER = re.compile(r"-?\d+")


class Scanner:
    """Text and a position in it. White space and comments before what is taken are skipped."""

    __slots__ = ("position", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0

    def skip(self) -> int:
        """Move past white space and comments; the position reached."""
        match = _SPACE.match(self.text, self.position)
        self.position = match.end() if match else self.position
        return self.position

    def match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """Take what the pattern describes, if it is next."""
        found = pattern.match(self.text, self.skip())
        if found:
            self.position = found.end()
        return found

    def expect(self, pattern: re.Pattern[str], what: str) -> re.Match[str]:
        """Take what the pattern describes."""
        return self.match(pattern) or self.fail(what)

    def accept(self, literal: str) -> bool:
        """Take the literal text, if it is next."""
        if not self.text.startswith(literal, self.skip()):
            return False
        self.position += len(literal)
        return True

    def take(self, literal: str) -> None:
        """Take the literal text."""
        if not self.accept(literal):
            self.fail(f"`{literal}` must come next")

    def integer(self) -> int:
        """Take an integer."""
        return int(self.expect(INTEGER, "an integer must come next")[0])

    def integers(self) -> tuple[int, ...]:
        """Take `{0, 1}`."""
        self.take("{")
        values: list[int] = []
        while not self.accept("}"):
            if values:
                self.take(",")
            values.append(self.integer())
        return tuple(values)

    def string(self) -> bytes:
        """Take a quoted string, its escapes undone."""
        raw = self.expect(_STRING, "a quoted string must come next")[1].encode()
        return _ESCAPE.sub(_unescape, raw) if b"\\" in raw else raw

    def unicode(self) -> str:
        """Take a quoted string of UTF-8 text."""
        start, data = self.skip(), self.string()
        try:
            return data.decode()
        except UnicodeDecodeError:
            self.position = start
            self.fail("a string must be UTF-8")

    def braces(self) -> str:
        """Take a group in braces, whatever it holds; the text with its braces."""
        start, depth = self.skip(), 0
        if not self.text.startswith("{", start):
            self.fail("`{` must come next")
        while found := _BRACE.search(self.text, self.position):
            if found[0] == '"':
                self.position = found.start()
                self.string()
                continue
            self.position = found.end()
            depth += 1 if found[0] == "{" else -1
            if depth == 0:
                return self.text[start : self.position]
        self.position = start
        self.fail("a `{` must have its `}`")

    @property
    def line(self) -> int:
        """The number of the line reached, from 1."""
        return self.text.count("\n", 0, self.position) + 1

    def error(self, message: str) -> HloError:
        """The error, with the line reached."""
        return HloError(f"hlo text: line {self.line}: {message}")

    def fail(self, what: str) -> NoReturn:
        """Raise the error that `what` must hold here."""
        rest = self.text[self.position :].split("\n", 1)[0].strip()
        raise self.error(f"{what}, got {repr(rest[:40]) if rest else 'the end of the text'}")


def _unescape(match: re.Match[bytes]) -> bytes:
    body = match[1]
    if body[0] in b"01234567":
        return bytes((int(body, 8) & 0xFF,))
    if body[:1] == b"x" and len(body) > 1:
        return bytes((int(body[1:], 16),))
    return _CONTROL.get(body, body)
